"""A delivery with trouble in it: what is told apart, and whose texts wait for their turn."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from server.auth.entra import EntraCallers
from server.backends.memory import MemoryStore
from server.channels.azure_sms import read_delivery
from server.entrypoints.event_grid import Taken, take, told
from server.errors import ConfigError, Unauthorized, Unavailable
from server.inbox.reports import Reports
from server.model import Text, person_of
from server.wiring.azure import Guard
from tests.fakes.azure_server import OURS, EventGrid
from tests.unit.auth.forge import keys

ANNA, BEN = "+15005550006", "+15005550009"
GRID = EventGrid("", number=OURS)


class Door:
    """Is in trouble with these words, and takes all others."""

    def __init__(self, *trouble: str) -> None:
        self.trouble = trouble
        self.taken: list[str] = []

    async def take(self, text: Text) -> str:
        if text.text in self.trouble:
            raise Unavailable("The database does not answer.")
        self.taken.append(text.text)
        return "accepted"


async def delivered(door: Door, *events: Any) -> Taken:
    taken = Taken()
    server: Any = SimpleNamespace(door=door)
    azure: Any = SimpleNamespace(number=OURS)
    await take(server, azure, read_delivery({}, json.dumps(events).encode()), taken)
    return taken


async def test_no_text_overtakes_an_earlier_one_of_the_same_phone() -> None:
    door = Door("a1")
    events = [GRID.text(ANNA, "a1"), GRID.text(BEN, "b1"), GRID.text(ANNA, "a2"), GRID.text(BEN, "b2")]
    taken = await delivered(door, *events)
    assert door.taken == ["b1", "b2"]
    assert told(taken, len(events), batch=True).status_code == 503
    door.trouble = ()
    again = await delivered(door, *events)
    assert door.taken[2:] == ["a1", "b1", "a2", "b2"]
    assert told(again, len(events), batch=True).status_code == 200


async def test_trouble_outweighs_what_is_spoiled_and_what_went_well() -> None:
    taken = await delivered(Door("a1"), GRID.text(ANNA, "a1"), {}, GRID.text(BEN, "b1"), GRID.validation())
    assert (taken.accepted, len(taken.spoiled), taken.validation is not None) == (1, 1, True)
    assert told(taken, 4, batch=True).status_code == 503


class Away(MemoryStore):
    """Fails at the first person who opts out."""

    failures = 1

    async def opt_out(self, person: str, channel: str, at: int, message_id: str = "") -> bool:
        if self.failures:
            self.failures -= 1
            raise Unavailable("The database does not answer.")
        return await super().opt_out(person, channel, at, message_id)


async def test_who_opted_out_at_the_provider_is_heard_when_the_report_comes_again_and_once() -> None:
    store = Away(lease_seconds=30, most_waiting=9)
    server: Any = SimpleNamespace(reports=Reports(store, store, store, time.time))
    azure: Any = SimpleNamespace(number=OURS)
    report = json.dumps([GRID.report("m1", ANNA, "Failed", "The recipient has opted out.")]).encode()
    for status in (503, 200):
        taken = Taken()
        await take(server, azure, read_delivery({}, report), taken)
        assert told(taken, 1, batch=True).status_code == status
    assert await store.opted_out(person_of(ANNA), "azure_sms")
    await store.opt_in(person_of(ANNA), "azure_sms", int(time.time() * 1000), "start")
    await take(server, azure, read_delivery({}, report), Taken())
    assert not await store.opted_out(person_of(ANNA), "azure_sms")


async def test_a_report_of_an_opt_out_counts_from_when_it_was_made() -> None:
    store = MemoryStore(lease_seconds=30, most_waiting=9)
    server: Any = SimpleNamespace(reports=Reports(store, store, store, time.time))
    report = GRID.report("m1", ANNA, "Failed", "The recipient has opted out.")
    await store.opt_in(person_of(ANNA), "azure_sms", int(time.time() * 1000), "start")
    for received, is_out in (("2020-09-18T00:22:20Z", False), ("2120-09-18T00:22:20Z", True)):
        report["data"] |= {"receivedTimestamp": received, "messageId": received}
        events = read_delivery({}, json.dumps([report]).encode())
        await take(server, SimpleNamespace(number=OURS), events, Taken())  # type: ignore[arg-type]
        assert await store.opted_out(person_of(ANNA), "azure_sms") == is_out


async def test_a_guard_without_anything_to_know_lets_nobody_in() -> None:
    guard = Guard(("", ""), None, is_open=False)
    for secret, token in ((None, None), ("", None), ("guess", None), (None, "a.b.c"), ("", "a.b.c")):
        with pytest.raises(Unauthorized) as raised:
            await guard.check(secret, token)
        assert raised.value.code == "no_token"
    await Guard(("",), None, is_open=True).check(None, None)


async def test_a_guard_takes_each_of_its_secrets() -> None:
    guard = Guard(("new", "old"), None, is_open=False)
    for secret in ("new", "old"):
        await guard.check(secret, None)
    for secret in ("", "ne", "newold", "\udcff"):
        with pytest.raises(Unauthorized):
            await guard.check(secret, None)


@pytest.mark.parametrize(
    ("tenant", "app", "callers"), [("", "a", {"c"}), ("t", "", {"c"}), ("t", "a", set()), ("t", "a", {""})]
)
def test_callers_of_nobody_in_particular_are_refused_at_the_start(tenant: str, app: str, callers: set[str]) -> None:
    with pytest.raises(ConfigError):
        EntraCallers("https://login.example", tenant, app, frozenset(callers), keys())
