"""The checker names what is wrong, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

import tests.unit.planted_bugs
import tests.unit.planted_words  # noqa: F401 - there they are planted
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
from tests.unit.planting import PLANTS, Plant


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


def test_a_server_that_was_held_up_may_begin_what_another_has_taken_over() -> None:
    story = good_story()
    taken_over = replace(story.runs[1], sure_until=1.7, ended=2.45)
    awake = replace(story.runs[1], attempt=3, began=2.2, ended=2.3, excused=True)
    story.runs[1:3] = [taken_over, story.runs[2], awake]
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


def test_a_message_whose_refusal_was_lost_may_be_overtaken() -> None:
    story = good_story()
    story.laptop[0].events[1:1] = [sent("m3")]
    story.laptop[2].events[1:1] = [sent("m3")]
    story.phone[1].events.remove(sent("m3"))
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


def test_it_may_break_off_behind_the_last_words_of_a_reply() -> None:
    story = good_story()
    asked, broken = Asked("c", 0, "e"), frame("error", action="resume", code="unavailable")
    words = frame("assistantSnapshot", conversationId="c", replyId="c-9", text="so far")
    story.phone[1].events[1:1] = [asked, resumed(3), accepted("m1"), words, broken]
    assert story.harms() == []


def test_before_it_is_told_that_it_broke_off_what_was_held_back_is_shown() -> None:
    story = good_story()
    asked, broken = Asked("c", 0, "e"), frame("error", action="resume", code="unavailable")
    story.phone[1].events[1:1] = [asked, resumed(3), started("m2"), deltas("m2")[0], broken]
    assert story.harms() == []


def test_it_may_end_with_its_process() -> None:
    story = good_story()
    story.phone[1:1] = [replace(story.phone[1], events=[Asked("c", 0, "e"), resumed(3), frame("disconnecting")])]
    assert story.harms() == []
