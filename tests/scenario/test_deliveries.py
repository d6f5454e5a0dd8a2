"""What became of each message to a phone, where operators look at what was said."""

from __future__ import annotations

from typing import Any, TypeAlias

import httpx2

from tests.fakes.azure_server import FakeAzure
from tests.fakes.azure_server import Fault as AzureFault
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.twilio_server import PERSON, Fault
from tests.scenario.client import client
from tests.scenario.description import description_of
from tests.scenario.phones import STATUS, Phone
from tests.scenario.process import ServerProcess, Start
from tests.scenario.texting import ANNA, BEN, texting, until

Deliveries: TypeAlias = list[tuple[str, str | None]]


async def said(server: ServerProcess, name: str) -> list[dict[str, Any]]:
    """What an administrator sees, which is as it is described."""
    headers = {"authorization": f"Bearer {server.pool.token('operator', groups=['admin'])}"}
    async with httpx2.AsyncClient(base_url=server.http, timeout=30) as http:
        answered = await http.get(f"/api/conversations/{name}", headers=headers)
    assert list((await description_of(server.http)).faults(answered)) == []
    found: list[dict[str, Any]] = answered.json()["conversation"]
    return found


async def deliveries(server: ServerProcess, name: str) -> list[Deliveries]:
    """Of each reply."""
    replies = [one for one in await said(server, name) if one["role"] == "assistant"]
    return [[(each["status"], each["code"]) for each in one["deliveries"]] for one in replies]


async def until_shown(server: ServerProcess, name: str, *wanted: Deliveries) -> None:
    async def is_so() -> bool:
        return await deliveries(server, name) == list(wanted)

    await until(is_so)


async def test_what_twilio_says_of_a_message_is_seen_beside_it(phone: Phone, provider: FakeOpenAI) -> None:
    server, status = phone.server, phone.server.http + STATUS
    await phone.says("one")
    await phone.hears(1)
    await until_shown(server, PERSON, [("sent", None)])
    await phone.says("two")
    one, two = await phone.fake.sent(2)
    await phone.fake.report(one, "sent", "delivered", to=status)
    await phone.fake.report(two, "undelivered", to=status, code=30003)
    wanted: tuple[Deliveries, ...] = [("delivered", None)], [("undelivered", "30003")]
    await until_shown(server, PERSON, *wanted)
    shown = await said(server, PERSON)
    await until_shown(server, shown[0]["conversationId"], *wanted)
    assert [one["role"] for one in shown if "deliveries" in one] == ["assistant"] * 2
    phone.fake.faults.append(Fault.BAD_NUMBER)
    await phone.says("three")
    await until_shown(server, PERSON, *wanted, [("failed", "twilio_21211")])
    assert await server.stop() == 0
    assert PERSON not in server.printed()


async def test_what_azure_says_of_a_text_is_seen_beside_it(start: Start, provider: FakeOpenAI, sms: FakeAzure) -> None:
    async with texting(start, sms) as phone:
        one = await phone.ask("one")
        await until_shown(phone.server, ANNA, [("sent", None)])
        two = await phone.ask("two")
        await phone.grid.deliver(phone.grid.report(one.message_id, ANNA))
        await phone.grid.deliver(phone.grid.report(two.message_id, ANNA, "Failed", "Blocked by carrier."))
        await until_shown(phone.server, ANNA, [("delivered", None)], [("failed", "blocked_by_carrier")])
        sms.script(AzureFault.OPTED_OUT)
        await phone.text("hello", BEN)
        await until_shown(phone.server, BEN, [("failed", "opted_out")])


async def test_nothing_is_said_of_deliveries_where_there_is_no_phone(server: ServerProcess) -> None:
    async with client(server) as anna:
        await anna.ask("hello")
        assert anna.conversation_id is not None
        assert not any("deliveries" in one for one in await said(server, anna.conversation_id))
