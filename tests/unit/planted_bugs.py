"""Bugs, each planted into a history in which nothing is wrong, and the kind of harm that it does."""

from __future__ import annotations

from dataclasses import replace

from server.model import Question
from tests.scenario.harms import Kind
from tests.scenario.history import Got
from tests.unit.checker_story import (
    TEXTS,
    Story,
    accepted,
    alter,
    connected,
    deltas,
    question,
    reply,
    response,
    resumed,
    said,
    sent,
    started,
    whole,
)
from tests.unit.planting import planted

# --- the log ------------------------------------------------------------------------------------------------------


@planted(Kind.EARLY)
def acknowledged_before_it_was_durable(story: Story) -> None:
    early = replace(sent("m3"), message_id="m4")
    story.finally_shown(early, Got({**accepted("m3").frame, "messageId": "m4", "offset": 7}))


@planted(Kind.LOST)
def accepted_and_never_answered(story: Story) -> None:
    del story.entries[5]
    for socket in (story.phone[1], story.laptop[2]):
        socket.events.remove(response("m3", 6))


@planted(Kind.LOST)
def reply_shown_but_not_kept(story: Story) -> None:
    del story.entries[5]


@planted(Kind.LOST)
def question_passed_over(story: Story) -> None:
    story.only_log()
    story.entries[2:] = [reply("m2", 3, 1500), question("m3", 3000), reply("m3", 6, 3500)]
    story.entries[3] = Question(4, "m3", TEXTS["m3"], 3000)
    story.entries[4] = replace(reply("m3", 5, 3500), question=4)


@planted(Kind.LOST)
def log_restored_from_before(story: Story) -> None:
    alter(story.phone[1], connected(3), offset=1)


@planted(Kind.LOST)
def resume_not_recovered_though_the_log_is_the_same(story: Story) -> None:
    alter(story.phone[0], resumed(0), recovered=False)


@planted(Kind.DOUBLED)
def question_doubled(story: Story) -> None:
    again = Question(7, "m3", TEXTS["m3"], 3600)
    story.entries += [again, replace(reply("m3", 8, 3700), question=7)]
    second = [Got({**one.frame, "replyId": "c-7"}) for one in whole("m3", 8)]
    story.finally_shown(Got({**accepted("m3").frame, "offset": 7}), *second)


@planted(Kind.DOUBLED)
def reply_doubled(story: Story) -> None:
    story.entries.append(reply("m3", 7, 3600))
    story.finally_shown(response("m3", 7))


@planted(Kind.REORDERED)
def replies_reordered(story: Story) -> None:
    story.only_log()
    story.entries[2:4] = [reply("m2", 3, 1500), reply("m1", 4, 2500)]


@planted(Kind.REORDERED)
def messages_logged_in_another_order_than_a_device_sent_them(story: Story) -> None:
    story.phone[0].events.insert(3, sent("m3"))


@planted(Kind.GAP)
def offset_left_out_of_the_log(story: Story) -> None:
    story.only_log()
    story.entries[5] = reply("m3", 7, 3500)


@planted(Kind.UNASKED)
def reply_to_a_message_that_was_never_accepted(story: Story) -> None:
    stray = replace(reply("m3", 7, 3600), question=8, message_id="m9")
    story.entries.append(stray)
    story.finally_shown(*(Got({**one.frame, "messageId": "m9", "replyId": "c-8"}) for one in whole("m3", 7)))


@planted(Kind.UNASKED)
def question_that_nobody_sent(story: Story) -> None:
    story.phone[1].events.remove(sent("m3"))


@planted(Kind.CORRUPTED)
def text_corrupted_on_its_way_into_the_log(story: Story) -> None:
    story.entries[0] = replace(question("m1", 1000), text="one ?")


# --- what a socket saw --------------------------------------------------------------------------------------------


@planted(Kind.CORRUPTED)
def acknowledged_with_another_offset(story: Story) -> None:
    alter(story.laptop[1], accepted("m2", duplicate=True), offset=1)


@planted(Kind.GAP)
def resume_begins_one_too_late(story: Story) -> None:
    story.phone[1].events.remove(response("m1", 3))


@planted(Kind.GAP)
def resume_replays_nothing_and_nothing_follows(story: Story) -> None:
    story.laptop[1].events.remove(accepted("m2"))
    story.laptop[1].events.remove(response("m1", 3))


@planted(Kind.GAP)
def other_device_never_told_of_the_newest(story: Story) -> None:
    for one in (accepted("m3"), *whole("m3", 6)):
        story.laptop[2].events.remove(one)


@planted(Kind.DOUBLED)
def resume_begins_one_too_early(story: Story) -> None:
    story.phone[1].events.insert(3, accepted("m2"))


@planted(Kind.DOUBLED)
def replayed_and_then_shown_live_too(story: Story) -> None:
    story.laptop[2].events.insert(6, response("m2", 4))


@planted(Kind.REORDERED)
def frames_in_another_order_than_their_offsets(story: Story) -> None:
    events = story.phone[1].events
    one, other = events.index(response("m2", 4)), events.index(accepted("m3"))
    events[one], events[other] = events[other], events[one]


# --- the provider -------------------------------------------------------------------------------------------------


@planted(Kind.OVERLAP)
def two_runs_of_a_conversation_at_once(story: Story) -> None:
    story.runs[2] = replace(story.runs[2], life=1, began=1.8)


@planted(Kind.DOUBLED)
def run_again_after_its_reply_was_stored(story: Story) -> None:
    story.runs.insert(2, replace(story.runs[0], attempt=2, life=2, began=2.0, ended=2.05))


@planted(Kind.REORDERED)
def run_before_the_reply_to_an_earlier_question_was_stored(story: Story) -> None:
    story.runs[1] = replace(story.runs[1], began=1.45)


@planted(Kind.CORRUPTED)
def prompt_without_the_newest_exchange(story: Story) -> None:
    story.runs[3] = replace(story.runs[3], prompt=(TEXTS["m1"], said("m1"), TEXTS["m3"]))


@planted(Kind.CORRUPTED)
def reply_of_no_run(story: Story) -> None:
    del story.runs[3]


@planted(Kind.CORRUPTED)
def replies_and_not_one_run(story: Story) -> None:
    story.runs.clear()


@planted(Kind.UNASKED)
def run_of_no_question(story: Story) -> None:
    story.runs.append(replace(story.runs[3], question=6, attempt=4, began=3.6, ended=3.7))


# --- many servers -------------------------------------------------------------------------------------------------


@planted(Kind.OVERLAP)
def lease_given_to_two(story: Story) -> None:
    """Both servers live, and nothing has happened to either."""
    story.runs[1] = replace(story.runs[1], sure_until=3.6)
    story.runs[2] = replace(story.runs[2], began=1.8)


@planted(Kind.STALE)
def reply_of_a_server_that_slept_through_its_lease(story: Story) -> None:
    story.runs[1] = replace(story.runs[1], ended=2.45, said=said("m2"))
    story.runs[2] = replace(story.runs[2], said="another's words")


@planted(Kind.CORRUPTED)
def reply_that_no_server_was_given(story: Story) -> None:
    story.runs[2] = replace(story.runs[2], said="other words")


@planted(Kind.GAP)
def push_lost_on_its_way_and_never_made_good(story: Story) -> None:
    for one in (started("m3"), *deltas("m3"), response("m3", 6)):
        story.phone[1].events.remove(one)


@planted(Kind.DOUBLED)
def pushed_by_two_servers(story: Story) -> None:
    events = story.phone[1].events
    events.insert(events.index(accepted("m3")), accepted("m3"))


@planted(Kind.GAP)
def resume_elsewhere_that_leaves_one_out(story: Story) -> None:
    """The other server's log ends one entry earlier, and what it is sent begins one later."""
    story.laptop[2].events.remove(response("m2", 4))


@planted(Kind.DOUBLED)
def resume_elsewhere_that_repeats_one(story: Story) -> None:
    story.laptop[2].events.insert(5, response("m1", 3))
