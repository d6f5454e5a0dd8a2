"""The debate endpoint's parts: who asks, how many may wait, what is heard, and how a conversation is told."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from server.backends.memory import MemoryStore
from server.channels import http_chat, websocket
from server.entrypoints.chat_api.askers import Asker, nobody, somebody
from server.entrypoints.chat_api.crowd import Crowd, address_of
from server.entrypoints.chat_api.ear import Ear
from server.entrypoints.chat_api.story import reply_to, story_until
from server.entrypoints.gate import sockets_among
from server.errors import BadInput, Conflict, NotFound, ProviderFailed, ServerError, TooMany, Unavailable
from server.inbox.rate import Rate
from server.model import (
    Accepted,
    Delta,
    Draft,
    Event,
    InboundMessage,
    Principal,
    Question,
    Replied,
    Reply,
    RunStarted,
)

ANNA = Principal("anna", "anna", 2_000_000_000)
KEY = "3f2b6a0c-1d8e-4b57-9a64-0c2f1e7d9b11"


def name(asker: Asker) -> str:
    return asker.name_of(asker.conversation_id or "c_1")


# --- who asks -----------------------------------------------------------------------------------------------------


def test_nobody_is_the_same_person_under_the_same_id_and_another_under_any_other() -> None:
    first = nobody(KEY, None)
    again = nobody("another-key", name(first))
    assert (again.who.person, again.conversation_id) == (first.who.person, "c_1")
    assert name(again) == name(first)
    assert again.message_id != first.message_id
    assert nobody(KEY, None) == first
    assert nobody(KEY.replace("3", "4"), None).who.person != first.who.person


def test_what_is_stored_of_nobody_opens_nothing() -> None:
    asker = nobody(KEY, None)
    assert asker.secret is not None
    for stored in (asker.who.person, asker.message_id):
        assert asker.secret not in stored
        assert KEY not in stored
    with pytest.raises(NotFound):
        somebody(ANNA, "k1", name(asker))


@pytest.mark.parametrize("key", ["", "1", "a" * 21])
def test_a_key_that_can_be_guessed_begins_nothing_for_nobody(key: str) -> None:
    with pytest.raises(BadInput):
        nobody(key, None)


@pytest.mark.parametrize("given", ["c_1", "c_1.", ".", "c_1." + "g" * 32, "c_1." + "0" * 33, "a b." + "0" * 32])
def test_what_cannot_be_an_id_is_unknown(given: str) -> None:
    with pytest.raises(NotFound):
        nobody(KEY, given)


# --- how many, and how often --------------------------------------------------------------------------------------


def test_places_are_given_back_whatever_happens() -> None:
    crowd = Crowd(3, 2)
    with crowd.place("anna"), crowd.place("anna"):
        with pytest.raises(TooMany), crowd.place("anna"):
            pass
        with crowd.place("ben"), pytest.raises(TooMany), crowd.place("cleo"):
            pass
    with pytest.raises(ZeroDivisionError), crowd.place("anna"):
        raise ZeroDivisionError
    with crowd.place("anna"), crowd.place("anna"):
        pass


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1:2::3", "2001:db8:0:1::/64"),
        ("2001:db8:0:1::", "2001:db8:0:1::/64"),
        ("nonsense", "unknown"),
    ],
)
def test_an_address_is_one_customer(host: str, address: str) -> None:
    assert address_of({"client": (host, 1)}) == address


def test_a_client_without_an_address_is_one_customer_too() -> None:
    assert address_of({"client": None}) == address_of({}) == "unknown"


def test_a_look_at_the_rate_spends_nothing() -> None:
    rate = Rate(1, lambda: 1000.0)
    rate.check("anna")
    rate.spend("anna")
    with pytest.raises(TooMany):
        rate.check("anna")
    Rate(0, lambda: 0.0).check("anna")


def test_requests_that_wait_are_no_sockets() -> None:
    assert sockets_among(["k_1", "w_1|http://node|anna", "w_2", "k_2|http://node|anna"]) == 2


# --- what is heard ------------------------------------------------------------------------------------------------


def heard(ear: Ear, *events: Event) -> str:
    for event in events:
        ear.write(websocket.encode(event, str).data)
    return "".join("|" if isinstance(one, http_chat.ChatRestart) else one.text for one in ear.take())


def question(offset: int, message_id: str) -> Question:
    return Question(offset, message_id, "hi", 0)


def test_it_hears_the_words_of_its_own_answer_and_no_others() -> None:
    ear, other = Ear("m2"), RunStarted("c_1", question(1, "m1"), "a")
    mine = RunStarted("c_1", question(2, "m2"), "a")
    assert heard(ear, other, Delta("c_1", 1, 0, "no"), mine, Delta("c_1", 2, 0, "ye"), Delta("c_2", 2, 0, "no")) == "ye"
    assert heard(ear, Delta("c_1", 2, 2, "s")) == "s"
    assert heard(ear, mine, Delta("c_1", 2, 0, "yes")) == "|yes"
    assert ear.reply is None
    heard(ear, Replied("c_1", Reply(3, 1, "m1", Draft("no", "stop"), 0)))
    assert ear.reply is None
    heard(ear, Replied("c_1", Reply(4, 2, "m2", Draft("yes", "stop"), 0)))
    assert ear.reply == 4


def test_what_was_closed_keeps_no_words_but_hears_the_end() -> None:
    ear = Ear("m1")
    heard(ear, RunStarted("c_1", question(1, "m1"), "a"))
    ear.write(websocket.encode(Delta("c_1", 1, 0, "x" * 100), str).data)
    assert ear.unread() == 100
    ear.close(4408, "reads too slowly")
    assert ear.unread() == 0
    assert heard(ear, Delta("c_1", 1, 100, "more"), Replied("c_1", Reply(2, 1, "m1", Draft("x", "stop"), 0))) == ""
    assert ear.reply == 2
    ear.write(b'{"messageType":"ofTomorrow"}')
    ear.write(b"junk")


# --- how it is told -----------------------------------------------------------------------------------------------


async def talked(*drafts: Draft, at_once: bool = False) -> tuple[MemoryStore, str, list[Accepted]]:
    """Questions q0, q1 ..., each with its reply: one after another, or all asked before the first is answered."""
    store = MemoryStore(lease_seconds=30, most_waiting=100)
    conversation_id = (await store.current("anna", "http_chat", "a")).id
    asked: list[Accepted] = []
    for number, draft in enumerate(drafts):
        asked.append(await store.accept(InboundMessage("anna", conversation_id, f"m{number}", f"q{number}")))
        if not at_once:
            await replied(store, conversation_id, [draft])
    if at_once:
        await replied(store, conversation_id, drafts)
    return store, conversation_id, asked


async def replied(store: MemoryStore, conversation_id: str, drafts: Sequence[Draft]) -> None:
    lease = await store.take(conversation_id, "here")
    for draft in drafts:
        assert lease is not None
        lease = (await store.answer(lease, draft)).next


def good(number: int) -> Draft:
    return Draft(f"a{number}", "stop")


BAD = Draft("It failed.", "error", code="unavailable", retryable=True)


async def told(store: MemoryStore, conversation_id: str, asked: Accepted) -> list[str]:
    reply = await reply_to(store, await store.find("anna", conversation_id), asked)
    assert reply is not None
    story = await story_until(store, conversation_id, reply)
    return [one.message for one in http_chat.answer(conversation_id, story, signed).message]


def signed(key: str) -> str:
    return f"/files/{key}?signature=s"


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_story_ends_with_its_own_answer_whatever_came_after(at_once: bool) -> None:
    store, conversation_id, asked = await talked(*map(good, range(20)), at_once=at_once)
    assert await told(store, conversation_id, asked[0]) == ["q0", "a0"]
    assert await told(store, conversation_id, asked[1]) == ["q0", "a0", "q1", "a1"]
    for number in (2, 10, 19):
        before = number - 1
        expected = [f"a{number - 2}", f"q{before}", f"a{before}", f"q{number}", f"a{number}"]
        assert await told(store, conversation_id, asked[number]) == expected


async def test_what_came_to_nothing_is_left_out_of_the_story() -> None:
    silent = Draft("", "cancelled")
    store, conversation_id, asked = await talked(good(0), *[BAD] * 30, silent, good(32))
    assert await told(store, conversation_id, asked[-1]) == ["q0", "a0", "q32", "a32"]


@pytest.mark.parametrize(
    ("draft", "error"),
    [
        (BAD, Unavailable),
        (Draft("No.", "refusal", code="refusal"), ProviderFailed),
        (Draft("", "cancelled"), Conflict),
    ],
)
async def test_a_message_that_came_to_nothing_says_so(draft: Draft, error: type[ServerError]) -> None:
    store, conversation_id, asked = await talked(good(0), draft)
    with pytest.raises(error):
        await told(store, conversation_id, asked[-1])


@pytest.mark.parametrize("reason", ["stop", "cancelled"])
async def test_a_reply_of_pictures_only_is_an_answer(reason: str) -> None:
    drawn = Draft("", reason, images=("images/a", "images/b"))
    store, conversation_id, asked = await talked(good(0), drawn, good(2))
    for one, place in ((asked[1], -1), (asked[2], -3)):
        reply = await reply_to(store, await store.find("anna", conversation_id), one)
        assert reply is not None
        answer = http_chat.answer(conversation_id, await story_until(store, conversation_id, reply), signed)
        assert msgspec.to_builtins(answer.message[place]) == {
            "role": "bot",
            "message": "",
            "images": ("/files/images/a?signature=s", "/files/images/b?signature=s"),
        }


async def test_what_waits_has_no_reply_and_what_is_gone_is_not_found() -> None:
    store, conversation_id, _ = await talked(good(0))
    waiting = await store.accept(InboundMessage("anna", conversation_id, "m9", "q9"))
    assert await reply_to(store, await store.find("anna", conversation_id), waiting) is None
    await store.delete("anna", conversation_id)
    with pytest.raises(NotFound):
        await story_until(store, conversation_id, 2)


# --- the wire -----------------------------------------------------------------------------------------------------


def test_an_event_is_one_line_of_json_whatever_it_says() -> None:
    text = "a\nb\r\n\u2028data: x\n\n"
    lines = http_chat.event("delta", http_chat.ChatDelta(text)).split(b"\n")
    assert (lines[0], lines[2:]) == (b"event: delta", [b"", b""])
    assert msgspec.json.decode(lines[1].removeprefix(b"data: "))["text"] == text


def test_an_answer_has_the_newest_five_messages_the_newest_last() -> None:
    answer = http_chat.answer("c_1", [http_chat.Told(f"q{number}", good(number)) for number in range(3)], signed)
    assert [(one.role, one.message) for one in answer.message] == [
        ("bot", "a0"),
        ("user", "q1"),
        ("bot", "a1"),
        ("user", "q2"),
        ("bot", "a2"),
    ]
