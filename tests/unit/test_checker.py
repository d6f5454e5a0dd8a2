"""The checker names what is wrong, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.model import Draft
from tests.scenario.harms import Kind
from tests.scenario.history import Asked
from tests.unit.checker_story import (
    accepted,
    alter,
    deltas,
    frame,
    good_story,
    reply,
    response,
    resumed,
    sent,
    started,
)
from tests.unit.planted_bugs import PLANTS, Plant


@pytest.mark.parametrize(("kind", "plant"), PLANTS, ids=[plant.__name__ for _, plant in PLANTS])
def test_a_planted_bug_is_named(kind: Kind, plant: Plant) -> None:
    story = good_story()
    plant(story)
    assert {harm.kind for harm in story.harms()} == {kind}


def test_every_kind_of_harm_is_planted_once_at_least() -> None:
    assert {kind for kind, _ in PLANTS} == set(Kind)


def test_a_history_in_order_has_no_harm() -> None:
    assert good_story().harms() == []


def test_a_run_that_is_tried_again_begins_its_reply_anew() -> None:
    story = good_story()
    events = story.phone[1].events
    events[events.index(started("m3")) : events.index(started("m3"))] = [started("m3"), *deltas("m3")[:2]]
    assert story.harms() == []


def test_an_error_may_end_a_reply_in_its_middle() -> None:
    story = good_story()
    failed = replace(reply("m3", 6, 3500), draft=Draft("Sorry.", "error", code="timeout"))
    story.entries[5] = failed
    for socket in (story.phone[1], story.laptop[2]):
        socket.events.remove(deltas("m3")[2])
        alter(socket, response("m3", 6), error=True, message="Sorry.", finishReason="error", code="timeout")
    assert story.harms() == []


def test_a_refused_message_may_be_overtaken() -> None:
    story = good_story()
    story.phone[0].events[3:3] = [sent("m3"), frame("error", action="sendMessage", messageId="m3", code="too_many")]
    assert story.harms() == []


def test_another_life_of_the_log_is_replayed_from_its_start() -> None:
    story = good_story()
    events = story.phone[1].events
    events[1] = Asked("c", 2, "another")
    alter(story.phone[1], resumed(3), recovered=False)
    events[3:3] = [accepted("m1"), accepted("m2")]
    assert story.harms() == []


def test_after_a_resume_that_broke_off_nothing_is_promised_until_the_next() -> None:
    story = good_story()
    asked, broken = Asked("c", 0, "e"), frame("error", action="resume", code="unavailable")
    story.phone[1].events[1:1] = [asked, resumed(3), accepted("m1"), broken]
    assert story.harms() == []
