"""A socket lives as long as its token."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.backends.memory import MemoryStore
from server.delivery.connection import Connection
from server.delivery.hub import Hub
from server.delivery.tenure import Tenure
from server.errors import Unauthorized, Unavailable
from server.metrics import Metrics
from server.model import Frame, Principal, SignOut
from tests.unit.wires import FakeWire, connection

EXPIRES = 1_000
ISSUED = 100


class Scene:
    def __init__(self) -> None:
        self.now = 500.0
        self.hub = Hub(Metrics())
        self.store = MemoryStore(clock=lambda: self.now, lease_seconds=30, most_waiting=10)
        self.tenure = Tenure(self.hub, self.store, lambda _: Frame(b"expiring"), lambda: self.now)

    def join(self, name: str = "k", person: str = "anna") -> tuple[Connection, FakeWire]:
        one, wire = connection(name, person)
        one.resume()
        one.renew(Principal(person, person, EXPIRES, ISSUED))
        self.hub.add(one)
        return one, wire


async def test_a_warning_comes_once_a_minute_before_the_end() -> None:
    scene = Scene()
    _, wire = scene.join()
    scene.now = EXPIRES - 61
    await scene.tenure.look()
    assert wire.frames == []
    for scene.now in (EXPIRES - 60, EXPIRES - 30):
        await scene.tenure.look()
    assert wire.frames == ["expiring"]
    assert wire.closed is None


async def test_the_socket_is_closed_when_its_token_ends() -> None:
    scene = Scene()
    _, wire = scene.join()
    scene.now = EXPIRES
    await scene.tenure.look()
    assert wire.closed == (4401, "token expired")


async def test_a_newer_token_begins_a_new_life() -> None:
    scene = Scene()
    one, wire = scene.join()
    scene.now = EXPIRES - 10
    await scene.tenure.look()
    one.renew(replace(one.who, expires_at_seconds=EXPIRES + 1_000))
    scene.now = EXPIRES + 1
    await scene.tenure.look()
    assert wire.closed is None
    scene.now = EXPIRES + 990
    await scene.tenure.look()
    assert wire.frames == ["expiring", "expiring"]


async def test_signing_out_closes_all_sockets_of_the_person_and_of_nobody_else() -> None:
    scene = Scene()
    wires = [scene.join(name)[1] for name in ("k1", "k2")]
    _, other = scene.join("k3", "ben")
    await scene.tenure.look()
    await scene.store.sign_out("anna")
    await scene.tenure.look()
    assert [wire.closed for wire in wires] == [(4401, "signed out")] * 2
    assert other.closed is None


async def test_tokens_from_before_the_sign_out_are_refused_and_later_ones_are_good() -> None:
    scene = Scene()
    await scene.store.sign_out("anna")
    await scene.tenure.look()
    who = Principal("anna", "anna", EXPIRES, ISSUED)
    with pytest.raises(Unauthorized) as refused:
        scene.tenure.check(who)
    assert refused.value.code == "signed_out"
    scene.tenure.check(replace(who, issued_at_seconds=501))
    scene.tenure.check(replace(who, person="ben"))
    one, wire = scene.join()
    one.renew(replace(who, issued_at_seconds=501))
    await scene.tenure.look()
    assert wire.closed is None


async def test_a_sign_out_by_another_process_whose_clock_is_minutes_behind_is_seen() -> None:
    scene = Scene()
    await scene.tenure.look()
    scene.now -= 240
    await scene.store.sign_out("anna")
    scene.now += 240
    await scene.tenure.look()
    with pytest.raises(Unauthorized):
        scene.tenure.check(Principal("anna", "anna", EXPIRES, ISSUED))


async def test_old_sign_outs_are_known_after_a_restart() -> None:
    scene = Scene()
    await scene.store.sign_out("anna")
    scene.now += 86_400
    again = Tenure(scene.hub, scene.store, lambda _: Frame(b""), lambda: scene.now)
    await again.look()
    with pytest.raises(Unauthorized):
        again.check(Principal("anna", "anna", EXPIRES, ISSUED))


async def test_sign_outs_are_forgotten_when_no_token_can_be_as_old() -> None:
    scene = Scene()
    await scene.store.sign_out("anna")
    await scene.tenure.look()
    scene.now += 20 * 86_400
    await scene.store.sign_out("ben")
    await scene.tenure.look()
    assert set(scene.tenure._signed_out) == {"anna", "ben"}
    scene.now += 12 * 86_400
    await scene.tenure.look()
    assert set(scene.tenure._signed_out) == {"ben"}


class Unreachable(MemoryStore):
    async def signed_out_since(self, moment: int) -> list[SignOut]:
        raise Unavailable("no database")


async def test_expiry_needs_no_database() -> None:
    scene = Scene()
    tenure = Tenure(scene.hub, Unreachable(lease_seconds=1, most_waiting=1), lambda _: Frame(b""), lambda: scene.now)
    _, wire = scene.join()
    scene.now = EXPIRES
    with pytest.raises(Unavailable):
        await tenure.look()
    assert wire.closed is not None
