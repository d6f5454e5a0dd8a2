"""Bugs that are planted into what is shown of a reply: its words, and its end."""

from __future__ import annotations

from dataclasses import replace

from server.model import Draft
from tests.scenario.harms import Kind
from tests.scenario.history import Got
from tests.unit.checker_story import (
    Story,
    alter,
    delta,
    deltas,
    reply,
    response,
    snapshot,
    started,
    whole,
)
from tests.unit.planting import planted


@planted(Kind.UNEQUAL)
def last_delta_dropped(story: Story) -> None:
    story.phone[1].events.remove(deltas("m3")[-1])


@planted(Kind.UNEQUAL)
def delta_doubled(story: Story) -> None:
    events = story.phone[1].events
    events.insert(events.index(deltas("m3")[1]), deltas("m3")[1])


@planted(Kind.UNEQUAL)
def all_deltas_dropped(story: Story) -> None:
    for one in deltas("m3"):
        story.laptop[2].events.remove(one)


@planted(Kind.UNEQUAL)
def delta_of_a_lower_attempt_after_a_fresh_run_started(story: Story) -> None:
    events = story.phone[1].events
    events.insert(events.index(started("m2")) + 1, delta("m2", 3, " said:"))


@planted(Kind.UNEQUAL)
def place_of_a_delta_counted_in_utf16(story: Story) -> None:
    events = story.phone[0].events
    events[events.index(deltas("m1")[2])] = delta("m1", 9, " 👋")
    events.insert(events.index(response("m1", 3)), delta("m1", 12, " one"))


@planted(Kind.UNEQUAL)
def snapshot_behind_the_stream(story: Story) -> None:
    alter(story.laptop[1], snapshot("m1", "You said:"), text="You")


@planted(Kind.UNEQUAL)
def deltas_for_a_device_that_wants_none(story: Story) -> None:
    story.laptop[2].deltas = False


@planted(Kind.UNEQUAL)
def reply_shown_is_not_the_one_kept(story: Story) -> None:
    alter(story.phone[1], response("m3", 6), message="You said: tree")


@planted(Kind.UNEQUAL)
def reply_replayed_is_not_the_one_kept(story: Story) -> None:
    alter(story.phone[1], response("m1", 3), finishReason="length")


@planted(Kind.TERMINAL)
def two_terminal_frames(story: Story) -> None:
    story.finally_shown(response("m3", 7))


@planted(Kind.TERMINAL)
def words_after_the_terminal_frame(story: Story) -> None:
    story.finally_shown(deltas("m3")[-1])


@planted(Kind.TERMINAL)
def run_started_after_the_terminal_frame(story: Story) -> None:
    story.finally_shown(*whole("m3", 6)[:4])


@planted(Kind.UNEQUAL)
def words_of_a_server_that_slept_through_its_lease(story: Story) -> None:
    events = story.phone[1].events
    events.insert(events.index(deltas("m2")[1]), delta("m2", 3, " thought:"))


@planted(Kind.TERMINAL)
def reply_of_a_server_that_slept_through_its_lease_shown_as_it_awoke(story: Story) -> None:
    story.finally_shown(Got({**response("m2", 7).frame, "message": "another's words"}))


@planted(Kind.UNEQUAL)
def words_lost_on_their_way_and_never_made_good(story: Story) -> None:
    story.laptop[2].events.remove(deltas("m3")[1])


@planted(Kind.UNEQUAL)
def resume_elsewhere_in_the_middle_with_too_little_of_it(story: Story) -> None:
    alter(story.laptop[1], snapshot("m1", "You said:"), text="You said")


# --- words that were never there --------------------------------------------------------------------------------------


@planted(Kind.UNEQUAL)
def beginning_and_first_words_dropped(story: Story) -> None:
    for one in (started("m3"), deltas("m3")[0]):
        story.phone[1].events.remove(one)


@planted(Kind.UNEQUAL)
def last_words_shown_alone(story: Story) -> None:
    for one in (started("m3"), *deltas("m3")[:2]):
        story.phone[1].events.remove(one)


@planted(Kind.UNEQUAL)
def beginning_dropped_for_everybody(story: Story) -> None:
    for socket in (story.phone[1], story.laptop[2]):
        socket.events.remove(started("m3"))


@planted(Kind.UNEQUAL)
def snapshot_dropped_for_who_joined_in_the_middle(story: Story) -> None:
    story.laptop[1].events.remove(snapshot("m1", "You said:"))


@planted(Kind.WORDLESS)
def all_words_dropped_and_their_beginning(story: Story) -> None:
    for one in (started("m3"), *deltas("m3")):
        story.laptop[2].events.remove(one)


@planted(Kind.CUT)
def reply_cancelled_that_nobody_cancelled(story: Story) -> None:
    story.entries[5] = replace(reply("m3", 6, 3500), draft=Draft("You", "cancelled"))
    for socket in (story.phone[1], story.laptop[2]):
        for one in deltas("m3")[1:]:
            socket.events.remove(one)
        alter(socket, response("m3", 6), message="You", finishReason="cancelled")
