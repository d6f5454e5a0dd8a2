"""What a connection is shown, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.delivery.connection import MOST_REMEMBERED
from server.delivery.hub import Hub
from server.errors import ConnectionGone
from server.metrics import Metrics
from server.model import Conversation, Frame, Snapshot
from tests.unit.wires import connection


def frame(name: str, *, conversation: str = "c", offset: int = 0, turn: int = 0, delta: bool = False) -> Frame:
    return Frame(name.encode(), conversation, offset, turn, delta)


def words(text: str, at: int, *, turn: int = 1) -> Frame:
    return Frame(text.encode(), "c", turn=turn, delta=True, at=at, end=at + len(text))


def so_far(text: str, *, conversation: str = "c", question: int = 1) -> Snapshot:
    return Snapshot(conversation, question, "m", text)


def shown_up_to(offset: int, answered: int) -> Conversation:
    return Conversation("c", "anna", "websocket", "a", "epoch", offset, answered, 0, 0)


def test_live_frames_wait_until_the_connection_was_greeted() -> None:
    one, wire = connection()
    one.put(frame("live", offset=3))
    one.say(frame("hello"))
    one.release(shown_up_to(2, 2), ())
    assert wire.frames == ["hello", "live"]


def test_what_the_log_has_shown_is_not_said_again_live() -> None:
    one, wire = connection()
    one.put(frame("accepted 1", offset=1))
    one.put(frame("started 1", turn=1))
    one.put(frame("words of 1", turn=1, delta=True))
    one.put(frame("reply to 1", offset=2, turn=1))
    one.put(frame("accepted 3", offset=3))
    one.put(frame("started 3", turn=3))
    one.release(shown_up_to(3, 1), ())
    assert wire.frames == ["started 3"]


def test_an_entry_announced_only_after_it_was_shown_is_not_repeated() -> None:
    one, wire = connection()
    one.release(shown_up_to(2, 1), ())
    one.put(frame("reply to 1", offset=2, turn=1))
    one.put(frame("accepted 3", offset=3))
    assert wire.frames == ["accepted 3"]


def test_words_that_a_snapshot_holds_are_not_said_again_and_those_after_it_are() -> None:
    one, wire = connection()
    for frame_held in (words("he", 0), words("llo", 2), words(" you", 5)):
        one.put(frame_held)
    one.release(shown_up_to(1, 0), [so_far("hello")])
    one.put(words(" there", 9))
    one.put(frame("reply", offset=2, turn=1))
    assert wire.frames == [" you", " there", "reply"]


@pytest.mark.parametrize("lost", [words("llo", 2), Frame(b"reply", "c", 2, 1, end=5)])
def test_a_socket_that_missed_words_is_told_to_come_back(lost: Frame) -> None:
    one, wire = connection()
    one.release(shown_up_to(1, 0), ())
    one.put(frame("started", turn=1), attempt=1)
    with pytest.raises(ConnectionGone):
        one.put(lost, attempt=1)
    assert wire.closed == (4410, "frames were lost; resume")


def test_what_comes_too_early_waits_for_what_comes_before_it() -> None:
    one, wire = connection()
    one.release(shown_up_to(0, 0), ())
    one.put(frame("started 1", turn=1), attempt=1)
    one.put(words("hi", 0), attempt=1)
    one.put(frame("accepted 2", offset=2))
    one.put(frame("started 2", turn=2), attempt=2)
    assert wire.frames == []
    one.put(frame("accepted 1", offset=1))
    assert wire.frames == ["accepted 1", "started 1", "hi", "accepted 2"]
    one.put(frame("reply to 1", offset=3, turn=1), attempt=1)
    assert wire.frames[4:] == ["reply to 1", "started 2"]


def test_what_waits_too_long_or_should_have_come_makes_it_look_behind() -> None:
    one, _ = connection()
    one.release(shown_up_to(0, 0), ())
    assert [one.behind(overdue=True) for _ in range(5)] == [set()] * 5
    one.put(frame("accepted 1", offset=1))
    assert [one.behind(overdue=True) for _ in range(6)] == [set(), set(), {"c"}, set(), {"c"}, set()]
    one.put(frame("accepted 3", offset=3))
    assert [one.behind(overdue=False) for _ in range(2)] == [set(), {"c"}]
    one.release(shown_up_to(3, 1), ())
    assert one.shown("c") == 3


def test_what_is_watched_is_not_missed_and_what_was_on_its_way_still_comes() -> None:
    one, wire = connection()
    one.release(replace(shown_up_to(0, 0), id="other"), ())
    one.put(frame("started 1", turn=1), attempt=1)
    one.put(words("hi", 0), attempt=1)
    one.watch(shown_up_to(2, 1))
    one.put(words("there", 2), attempt=1)
    one.put(frame("reply to 1", offset=2, turn=1), attempt=1)
    one.put(frame("started 3", turn=3), attempt=2)
    assert wire.frames == ["started 1", "hi", "there", "reply to 1"]
    assert [one.behind(overdue=True) for _ in range(2)] == [set(), {"c"}]
    one.put(frame("accepted 3", offset=3))
    one.put(frame("accepted 3", offset=3))
    assert wire.frames[4:] == ["accepted 3", "started 3"]
    assert one.shown("c") == 3


def test_however_long_nothing_comes_it_looks_behind_now_and_then() -> None:
    one, _ = connection()
    one.release(shown_up_to(0, 0), ())
    one.put(frame("accepted 1", offset=1))
    one.behind(overdue=True)
    assert [look for look in range(1, 1000) if one.behind(overdue=True)] == [2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_what_only_just_waits_is_not_behind_however_often_something_waits() -> None:
    one, _ = connection()
    one.release(shown_up_to(0, 0), ())
    for offset in range(1, 10, 2):
        one.put(frame("the second comes first", offset=offset + 1))
        assert one.behind(overdue=False) == set()
        one.put(frame("the first", offset=offset))


def test_a_reply_answers_all_questions_of_its_breath() -> None:
    one, wire = connection()
    one.release(shown_up_to(3, 0), ())
    one.put(frame("started", turn=1), attempt=1)
    reply = Frame(b"reply", "c", 4, 1, through=3)
    one.put(reply, attempt=1)
    assert [one.behind(overdue=True) for _ in range(9)] == [set()] * 9
    one.put(frame("started from the grave", turn=3), attempt=1)
    one.put(frame("accepted 5", offset=5))
    one.put(frame("started 5", turn=5), attempt=1)
    assert wire.frames == ["started", "reply", "accepted 5", "started 5"]


def test_of_a_reply_that_ended_meanwhile_the_whole_is_shown_and_not_its_last_words() -> None:
    one, wire = connection()
    for conversation in ("c", "d"):
        one.put(frame("last words", turn=1, delta=True, conversation=conversation))
        one.put(frame(f"reply in {conversation}", offset=2, turn=1, conversation=conversation))
    one.release(shown_up_to(1, 0), ())
    assert wire.frames == ["reply in c", "reply in d"]


@pytest.mark.parametrize("conversation", ["c", "d"])
def test_a_reply_followed_from_its_beginning_stays_whole_over_a_resume(conversation: str) -> None:
    one, wire = connection()
    one.release(shown_up_to(1, 0), ())
    one.put(frame("started", turn=1, conversation=conversation), attempt=1)
    one.put(frame("words", turn=1, delta=True, conversation=conversation), attempt=1)
    one.hold()
    one.put(frame("last words", turn=1, delta=True, conversation=conversation), attempt=1)
    one.put(frame("reply", offset=2, turn=1, conversation=conversation), attempt=1)
    one.release(shown_up_to(1, 0), ())
    assert wire.frames == ["started", "words", "last words", "reply"]


def test_a_resume_that_was_refused_changes_nothing() -> None:
    one, wire = connection()
    one.release(shown_up_to(1, 0), ())
    one.hold()
    one.put(frame("started", turn=1), attempt=1)
    one.put(frame("words", turn=1, delta=True), attempt=1)
    one.resume()
    assert wire.frames == ["started", "words"]


def test_other_conversations_are_not_held_against_it() -> None:
    one, wire = connection()
    one.release(shown_up_to(9, 9), ())
    one.put(frame("elsewhere", conversation="d", offset=1))
    assert wire.frames == ["elsewhere"]


def test_a_conversation_that_is_in_use_is_remembered_however_many_others_there_are() -> None:
    one, wire = connection(most_bytes=1_000_000)
    one.release(shown_up_to(2, 1), ())
    for number in range(2 * MOST_REMEMBERED):
        one.begin(replace(shown_up_to(2, 1), id=f"c_{number}"))
        one.put(frame("in use", offset=3 + number))
    one.put(frame("again", offset=3))
    one.put(frame("forgotten", conversation="c_0", offset=2))
    assert wire.frames == ["in use"] * 2 * MOST_REMEMBERED + ["forgotten"]
    assert len(one._seen) == MOST_REMEMBERED


def test_a_turn_of_a_lower_attempt_is_not_heard() -> None:
    one, wire = connection()
    one.release(shown_up_to(4, 0), ())
    one.put(frame("the second", turn=1), attempt=2)
    one.put(frame("from the second", turn=1, delta=True), attempt=2)
    one.put(frame("from the grave", turn=1, delta=True), attempt=1)
    one.put(frame("no turn's", offset=5))
    one.put(frame("reply to 1", offset=6, turn=1), attempt=2)
    one.put(frame("the third", turn=2), attempt=3)
    assert wire.frames == ["the second", "from the second", "no turn's", "reply to 1", "the third"]


def test_a_lower_attempt_than_a_snapshots_is_not_heard() -> None:
    one, wire = connection()
    one.release(shown_up_to(1, 0), [replace(so_far("hello"), attempt=2)])
    one.put(words(" from the grave", 5), attempt=1)
    one.put(words(" there", 5), attempt=2)
    assert wire.frames == [" there"]


def test_a_connection_without_deltas_gets_the_rest() -> None:
    one, wire = connection(deltas=False)
    one.release(shown_up_to(1, 0), ())
    one.put(frame("words", turn=1, delta=True))
    one.put(frame("reply", offset=2, turn=1))
    assert wire.frames == ["reply"]


@pytest.mark.parametrize("held", [True, False])
def test_a_reader_that_does_not_read_is_cut_off_at_its_bound(held: bool) -> None:
    one, wire = connection(most_bytes=10, reading=False)
    if not held:
        one.release(shown_up_to(0, 0), ())
    one.put(frame("x" * 10))
    assert wire.closed is None
    with pytest.raises(ConnectionGone):
        one.put(frame("y"))
    assert wire.closed == (4408, "reads too slowly")


def test_bytes_that_were_read_count_no_more() -> None:
    one, wire = connection(most_bytes=10)
    for _ in range(5):
        one.hold()
        one.put(frame("x" * 10))
        one.release(shown_up_to(0, 0), ())
    assert wire.closed is None
    assert len(wire.frames) == 5


def test_it_is_known_whether_a_reply_was_shown_from_its_beginning_and_not_yet_to_its_end() -> None:
    one, _ = connection()
    one.release(shown_up_to(1, 0), ())
    assert not one.is_following("c", 1)
    one.put(frame("started", turn=1), attempt=1)
    assert one.is_following("c", 1)
    one.put(frame("reply", offset=2, turn=1), attempt=1)
    assert not one.is_following("c", 1)
    one.put(frame("started", turn=3), attempt=2)
    one.release(shown_up_to(4, 3), ())
    assert not one.is_following("c", 3)
    one.release(shown_up_to(4, 3), [so_far("", conversation="d", question=7)])
    assert one.is_following("d", 7)


def test_a_reply_that_ends_while_the_next_begins_is_shown_to_its_last_word() -> None:
    one, wire = connection()
    one.release(shown_up_to(2, 0), ())
    one.put(frame("started 1", turn=1), attempt=1)
    one.hold()
    one.put(frame("last words of 1", turn=1, delta=True), attempt=1)
    one.put(frame("reply to 1", offset=3, turn=1), attempt=1)
    one.put(frame("started 2", turn=2), attempt=1)
    one.put(frame("words of 2", turn=2, delta=True), attempt=1)
    assert one.holds_beginning("c", 2)
    assert not one.holds_beginning("c", 1)
    one.release(shown_up_to(2, 0), ())
    assert wire.frames == ["started 1", "last words of 1", "reply to 1", "started 2", "words of 2"]


def test_the_rest_of_a_reply_is_expected_before_the_next_one_of_which_another_process_tells() -> None:
    one, _ = connection()
    one.release(shown_up_to(3, 0), [])
    assert not one.expects_earlier("c", 2, 0)
    one.put(frame("started", turn=1))
    assert one.expects_earlier("c", 2, 0)
    assert not one.expects_earlier("c", 1, 0)
    assert not one.expects_earlier("d", 2, 0)
    assert not one.expects_earlier("c", 2, 1)
    one.hold()
    one.put(frame("the next started", turn=2))
    assert one.expects_earlier("c", 3, 1)


async def test_the_hub_knows_a_persons_connections() -> None:
    hub = Hub(Metrics())
    (first, _), (second, _) = connection(), connection("k2")
    hub.add(first)
    hub.add(second)
    assert (list(await hub.of("anna")), hub.count("anna"), len(hub)) == (["k", "k2"], 2, 2)
    hub.remove(first)
    hub.remove(first)
    assert (list(await hub.of("anna")), await hub.of("ben"), list(hub)) == (["k2"], (), [second])
    with pytest.raises(ConnectionGone):
        await hub.push("k", frame("late"))
