"""Conversations over HTTP: whose one may see, and what one sees of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx2
import pytest

from tests.databases import SERVERS, scratch_database
from tests.fakes.azure_server import FakeAzure, azure_server
from tests.fakes.openai_server import FakeOpenAI
from tests.scenario.client import client
from tests.scenario.process import ServerProcess, Start, run_command
from tests.scenario.texting import ANNA, BEN, texting, until


@pytest.fixture
async def sms() -> AsyncIterator[FakeAzure]:
    async with azure_server() as fake:
        yield fake


def bearer(server: ServerProcess, user: str, *groups: str) -> dict[str, str]:
    return {"authorization": f"Bearer {server.pool.token(user, groups=groups)}"}


async def api(server: ServerProcess, path: str, headers: Mapping[str, str], method: str = "GET") -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=server.http) as http:
        return await http.request(method, f"/api/conversations{path}", headers=headers)


async def test_what_can_be_no_name_is_none(start: Start) -> None:
    with scratch_database(SERVERS["postgres"]) as url:
        async with start(DATABASE_URL=url.replace("+psycopg", "")) as server:
            for groups in ((), ("admin",)):
                anna = bearer(server, "anna", *groups)
                for name in ("%00", "+%00", "c_%00", "c_1/2", "é", "x" * 5_000):
                    asked = await api(server, f"/{name}", anna)
                    assert (asked.status_code, asked.json()["error"]["code"]) == (404, "unknown_conversation")
                assert (await api(server, "?after=%00", anna)).status_code == 400
            assert "database_failed" not in server.printed()


async def test_a_person_sees_their_own_conversations_and_no_others(server: ServerProcess) -> None:
    async with client(server) as anna, client(server, "ben") as ben:
        await anna.ask("hello")
        await ben.ask("hi")
        mine = (await api(server, "", bearer(server, "anna"))).json()
        assert (mine["phone_numbers"], mine["more"]) == ([], False)
        [one] = mine["conversations"]
        assert (one["conversationId"], one["channel"], one["offset"]) == (anna.conversation_id, "websocket", 2)
        shown = await api(server, f"/{anna.conversation_id}", bearer(server, "anna"))
        assert [(said["role"], said["content"], said["offset"]) for said in shown.json()["conversation"]] == [
            ("user", "hello", 1),
            ("assistant", "You said: hello", 2),
        ]
        for headers, status, code in (
            ({}, 401, "no_token"),
            ({"authorization": "Bearer nonsense"}, 403, "bad_token"),
            (bearer(server, "ben"), 404, "unknown_conversation"),
            (bearer(server, "ben", "editors"), 404, "unknown_conversation"),
            (bearer(server, "anna") | {"origin": "https://evil.example"}, 403, "bad_origin"),
            (bearer(server, "anna") | {"origin": "http://["}, 403, "bad_origin"),
        ):
            for method in ("GET", "DELETE"):
                refused = await api(server, f"/{anna.conversation_id}", headers, method)
                assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
        assert (await api(server, "", {})).status_code == 401


async def test_an_administrator_sees_and_deletes_anyones(server: ServerProcess) -> None:
    async with client(server) as anna:
        await anna.ask("hello")
        admin = bearer(server, "operator", "admin")
        shown = await api(server, f"/{anna.conversation_id}", admin)
        assert [said["content"] for said in shown.json()["conversation"]] == ["hello", "You said: hello"]
        assert (await api(server, f"/{anna.conversation_id}", admin, "DELETE")).status_code == 204
        for method in ("GET", "DELETE"):
            assert (await api(server, f"/{anna.conversation_id}", admin, method)).status_code == 404


async def test_the_group_of_administrators_has_the_name_that_it_is_given(start: Start) -> None:
    async with start(ADMIN_GROUP="office") as server, client(server) as anna:
        path = f"/{anna.conversation_id}"
        assert (await api(server, path, bearer(server, "operator", "admin"))).status_code == 404
        assert (await api(server, path, bearer(server, "operator", "office"))).status_code == 200


async def test_an_operator_gets_a_token_of_the_group_from_the_command_line(server: ServerProcess) -> None:
    async with client(server) as anna:
        arguments = ("token", "--user", "operator", "--group", "admin")
        code, printed, _ = await run_command(*arguments, data_dir=server.data_dir)
        assert code == 0
        headers = {"authorization": f"Bearer {printed.strip()}"}
        assert (await api(server, f"/{anna.conversation_id}", headers)).status_code == 200


async def test_by_number_all_sessions_of_the_phone_are_one_conversation(
    start: Start, provider: FakeOpenAI, sms: FakeAzure
) -> None:
    async with texting(start, sms, SESSION_HOURS=0.0005) as phone:
        for number in range(3):
            await phone.ask(f"text {number}")
        # Each came when the session of the one before was over.
        await phone.ask("hi", BEN)
        shown = (await phone.api("GET", f"/{ANNA}")).json()["conversation"]
        assert [said["content"] for said in shown] == [
            words for number in range(3) for words in (f"text {number}", f"You said: text {number}")
        ]
        assert (await phone.api("GET", "")).json()["phone_numbers"] == [ANNA, BEN]
        encoded = await phone.api("GET", f"/%2B{ANNA[1:]}")
        assert encoded.json()["conversation"] == shown
        assert (await phone.api("DELETE", f"/%2B{ANNA[1:]}")).json() == {"message": f"Conversation for {ANNA} deleted"}
        assert (await phone.api("GET", f"/{ANNA}")).status_code == 404
        assert (await phone.api("GET", "")).json()["phone_numbers"] == [BEN]
        assert [text for _, text in await phone.said(BEN)] == ["hi", "You said: hi"]


async def test_what_phones_say_is_for_administrators(start: Start, provider: FakeOpenAI, sms: FakeAzure) -> None:
    async with texting(start, sms) as phone:
        await phone.ask("hello")
        for headers, status in (({}, 401), (phone.bearer("anna"), 403), (phone.bearer("anna", "editors"), 403)):
            for number in (ANNA, BEN):
                for method in ("GET", "DELETE"):
                    refused = await phone.api(method, f"/{number}", headers)
                    assert refused.status_code == status
        assert (await phone.api("GET", "", phone.bearer("anna"))).json()["phone_numbers"] == []
        unknown = await phone.api("GET", f"/{BEN}")
        assert unknown.status_code == 404
        assert unknown.json()["error"]["message"] == "No conversation found for this phone number"
        assert len(await phone.said()) == 2


async def test_long_lists_and_long_conversations_come_in_pages(
    start: Start, provider: FakeOpenAI, sms: FakeAzure
) -> None:
    numbers = [f"+1500555{number:04}" for number in range(6, 12)]
    async with texting(start, sms, SESSION_HOURS=0.001) as phone:
        events = [phone.grid.text(number, "hello") for number in reversed(numbers)]
        assert (await phone.grid.deliver(*events)).json()["accepted"] == len(numbers)
        await sms.until_sent(len(numbers))
        first = (await phone.api("GET", "?limit=4")).json()
        assert (first["phone_numbers"], first["more"]) == (numbers[:4], True)
        rest = (await phone.api("GET", f"?limit=4&after=%2B{numbers[3][1:]}")).json()
        assert (rest["phone_numbers"], rest["more"]) == (numbers[4:], False)
        for number in range(4):
            await phone.ask(f"text {number}")
        whole = [text for _, text in await phone.said()]
        found: list[str] = []
        before: str | None = ""
        while before is not None:
            page = (await phone.api("GET", f"/{ANNA}?limit=3{before and f'&before={before}'}")).json()
            assert len(page["conversation"]) <= 3
            found = [said["content"] for said in page["conversation"]] + found
            before = page.get("before")
        assert found == whole
        assert len(whole) == 10
        limits = ("0", "x", "1001", "²", f"{1:05000}")
        for query in (*map("limit={}".format, limits), "before=x", "before=c_1.2", "before=.1"):
            assert (await phone.api("GET", f"/{ANNA}?{query}")).status_code == 400


async def test_a_page_is_of_bounded_size_however_much_was_said(server: ServerProcess) -> None:
    async with client(server) as anna:
        for number in range(6):
            await anna.ask(f"{number}" + "x" * 30_000)
        found: list[int] = []
        before: str | None = ""
        while before is not None:
            answered = await api(
                server, f"/{anna.conversation_id}?limit=1000{before and f'&before={before}'}", bearer(server, "anna")
            )
            assert len(answered.content) < 300_000
            page = answered.json()
            found = [said["offset"] for said in page["conversation"]] + found
            before = page.get("before")
        assert found == list(range(1, 13))


async def test_a_conversation_that_is_deleted_while_a_text_waits_ends_without_it(
    start: Start, provider: FakeOpenAI, sms: FakeAzure
) -> None:
    async with texting(start, sms, TEXT_PAUSE_SECONDS=30) as phone:
        await phone.text("never to be answered")
        assert (await phone.api("DELETE", f"/{ANNA}")).status_code == 200

        async def is_gone() -> bool:
            return (await phone.api("GET", f"/{ANNA}")).status_code == 404

        await until(is_gone)
    assert sms.sent == []
    assert provider.questions == []
