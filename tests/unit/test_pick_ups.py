"""A wait is counted from the kill, and from what came between."""

from __future__ import annotations

from math import inf

from server.model import Draft, Entry, Question, Reply
from tests.scenario.history import Kept, Run
from tests.scenario.pick_ups import PickUp, pick_ups

DEATH = 10.0
ASKED = Question(1, "m1", "hello", 9_000)
ANSWERED = Reply(2, 1, "m1", Draft("hi", "stop"), 41_000)


def log(*entries: Entry) -> Kept:
    return Kept("anna", "c", "e", entries)


def run(began: float) -> Run:
    return Run("c", 1, 1, 1, began, None, ("hello",))


def test_who_waits_at_a_death_is_picked_up_by_the_next_run() -> None:
    runs = [run(9.5), run(40.0)]
    assert pick_ups([DEATH], [log(ASKED, ANSWERED)], runs, []) == [PickUp(30.0, 30.0)]


def test_or_by_the_reply_where_no_run_is_begun_again() -> None:
    assert pick_ups([DEATH], [log(ASKED, ANSWERED)], [run(9.5)], []) == [PickUp(31.0, 31.0)]


def test_what_came_between_is_another_beginning() -> None:
    found = pick_ups([DEATH], [log(ASKED, ANSWERED)], [run(40.0)], [9.0, 15.0, 25.0, 40.5])
    assert found == [PickUp(30.0, 15.0)]


def test_another_death_is_one_too_and_has_a_wait_of_its_own() -> None:
    found = pick_ups([DEATH, 30.0], [log(ASKED, ANSWERED)], [run(40.0)], [])
    assert found == [PickUp(30.0, 10.0), PickUp(10.0, 10.0)]


def test_nobody_waits_whose_reply_was_stored_or_who_asked_later() -> None:
    assert pick_ups([DEATH * 5, 1.0], [log(ASKED, ANSWERED)], [run(9.5)], []) == []


def test_who_is_never_picked_up_waits_for_ever() -> None:
    assert pick_ups([DEATH], [log(ASKED)], [run(9.5)], []) == [PickUp(inf, inf)]
