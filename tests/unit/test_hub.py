"""What a connection is shown, and in which order."""

from __future__ import annotations

import asyncio

import pytest

from server.delivery.hub import Connection, Hub
from server.errors import ConnectionGone
from server.model import Conversation, Frame


def frame(name: str, *, conversation: str = "c", offset: int = 0, turn: int = 0, delta: bool = False) -> Frame:
    return Frame(name, len(name), conversation, offset, turn, delta)


def shown_up_to(offset: int, answered: int) -> Conversation:
    return Conversation("c", "anna", "websocket", "a", "epoch", offset, answered, 0, 0)


def connection(**options: object) -> Connection:
    return Connection("k", "anna", **{"most_bytes": 1_000, **options})  # type: ignore[arg-type]


async def written(*connections: Connection) -> list[list[str]]:
    """Everything each has to say, now."""
    out: list[list[str]] = [[] for _ in connections]

    def sender(said: list[str]):  # type: ignore[no-untyped-def]
        async def send(text: str) -> None:
            said.append(text)

        return send

    tasks = [asyncio.create_task(one.write(sender(said))) for one, said in zip(connections, out, strict=True)]
    for _ in range(3):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return out


async def test_live_frames_wait_until_the_connection_was_greeted() -> None:
    one = connection()
    one.put(frame("live", offset=3))
    one.say(frame("hello"))
    one.release(shown_up_to(2, 2))
    assert await written(one) == [["hello", "live"]]


async def test_what_the_log_has_shown_is_not_said_again_live() -> None:
    one = connection()
    one.put(frame("accepted 1", offset=1))
    one.put(frame("started 1", turn=1))
    one.put(frame("words of 1", turn=1, delta=True))
    one.put(frame("reply to 1", offset=2, turn=1))
    one.put(frame("accepted 3", offset=3))
    one.put(frame("started 3", turn=3))
    one.release(shown_up_to(3, 1))
    assert await written(one) == [["started 3"]]


async def test_an_entry_announced_only_after_it_was_shown_is_not_repeated() -> None:
    one = connection()
    one.release(shown_up_to(2, 1))
    one.put(frame("reply to 1", offset=2, turn=1))
    one.put(frame("accepted 3", offset=3))
    assert await written(one) == [["accepted 3"]]


async def test_other_conversations_are_not_held_against_it() -> None:
    one = connection()
    one.release(shown_up_to(9, 9))
    one.put(frame("elsewhere", conversation="d", offset=1))
    assert await written(one) == [["elsewhere"]]


async def test_a_turn_of_a_lower_attempt_is_not_heard() -> None:
    one = connection()
    one.release()
    one.put(frame("from the second", turn=1, delta=True), attempt=2)
    one.put(frame("from the grave", turn=1, delta=True), attempt=1)
    one.put(frame("no turn's", offset=5))
    one.put(frame("from the third", turn=3, delta=True), attempt=3)
    assert await written(one) == [["from the second", "no turn's", "from the third"]]


async def test_a_connection_without_deltas_gets_the_rest() -> None:
    one, other = connection(), connection(deltas=False)
    for each in (one, other):
        each.release()
        each.put(frame("words", delta=True))
        each.put(frame("reply", offset=2))
    assert await written(one, other) == [["words", "reply"], ["reply"]]


@pytest.mark.parametrize("held", [True, False])
async def test_a_reader_that_does_not_read_is_cut_off_at_its_bound(held: bool) -> None:
    one = connection(most_bytes=10)
    cut = []
    one.when_cut_off(lambda: cut.append(True))
    if not held:
        one.release()
    one.put(frame("x" * 10))
    for _ in range(2):
        with pytest.raises(ConnectionGone):
            one.put(frame("y"))
    assert cut == [True]


async def test_bytes_that_were_read_count_no_more() -> None:
    one = connection(most_bytes=10)
    for _ in range(5):
        one.hold()
        one.put(frame("x" * 10))
        one.release()
        assert await written(one) == [["x" * 10]]


async def test_the_hub_knows_a_persons_connections() -> None:
    hub = Hub()
    first, second = connection(), Connection("k2", "anna", most_bytes=1_000)
    hub.add(first)
    hub.add(second)
    assert (list(await hub.of("anna")), hub.count("anna"), len(hub)) == (["k", "k2"], 2, 2)
    hub.remove(first)
    hub.remove(first)
    assert (list(await hub.of("anna")), await hub.of("ben")) == (["k2"], ())
    with pytest.raises(ConnectionGone):
        await hub.push("k", frame("late"))
