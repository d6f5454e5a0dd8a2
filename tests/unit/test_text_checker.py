"""The checker of texts names what is wrong, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import pytest

from server.model import Draft, Entry, Part, Question, Reply, person_of
from tests.scenario.harms import Kind
from tests.scenario.history import Kept
from tests.scenario.postbag import START, STOP, Bag, Post, Taken
from tests.scenario.text_checker import check_texts

ANNA, BEN = "+4917011", "+4917012"


def post(number: str, log_id: str, body: str, began: float, status: int | None = 200) -> Post:
    return Post(number, log_id, body, began, began + 0.1, status)


def question(offset: int, message_id: str, text: str) -> Question:
    return Question(offset, message_id, text, offset * 1000)


def reply(offset: int, message_ids: tuple[str, ...], first: int, text: str, at: int) -> Reply:
    draft, several = Draft(text, "stop"), message_ids if len(message_ids) > 1 else ()
    return Reply(offset, first, message_ids[0], draft, at, several, first + len(several) - 1 if several else 0)


def sent(index: int, provider_id: str) -> Part:
    return Part(index, "sent", 0, provider_id)


@dataclass
class Story:
    """Anna writes three texts, two of which come twice; two are answered together, in two messages. Ben says STOP,
    writes in vain, comes back, and is answered.
    """

    posts: list[Post] = field(
        default_factory=lambda: [
            post(ANNA, "a1", "one", 1, None),
            post(ANNA, "a1", "one", 1.5),
            post(ANNA, "a2", "two", 3),
            post(ANNA, "a3", "three", 4),
            post(ANNA, "a2", "two", 5),
            post(BEN, "b1", STOP, 1),
            post(BEN, "b2", "in vain", 12),
            post(BEN, "b3", START, 20),
            post(BEN, "b4", "hello", 21),
        ]
    )
    anna: list[Entry] = field(
        default_factory=lambda: [
            question(1, "a1", "one"),
            reply(2, ("a1",), 1, "You said: one", 2_000),
            question(3, "a2", "two"),
            question(4, "a3", "three"),
            reply(5, ("a2", "a3"), 3, "You said: two three", 6_000),
        ]
    )
    ben: list[Entry] = field(
        default_factory=lambda: [
            question(1, "notice-stop-b1", STOP),
            reply(2, ("notice-stop-b1",), 1, "No more.", 1_200),
            question(3, "notice-start-b3", START),
            reply(4, ("notice-start-b3",), 3, "Welcome.", 20_200),
            question(5, "b4", "hello"),
            reply(6, ("b4",), 5, "You said: hello", 22_000),
        ]
    )
    taken: list[Taken] = field(
        default_factory=lambda: [
            Taken("SM1", ANNA, "You said: one", 2),
            Taken("SM2", ANNA, "You said: two", 6),
            Taken("SM3", ANNA, "three", 7),
            Taken("SM4", BEN, "Welcome.", 20.5),
            Taken("SM5", BEN, "You said: hello", 22),
        ]
    )
    parts: dict[tuple[str, int], tuple[Part, ...]] = field(
        default_factory=lambda: {
            ("a", 2): (sent(0, "SM1"),),
            ("a", 5): (sent(0, "SM2"), sent(1, "SM3")),
            ("b", 2): (),
            ("b", 4): (sent(0, "SM4"),),
            ("b", 6): (sent(0, "SM5"),),
        }
    )

    def harms(self) -> set[Kind]:
        anna = Kept(person_of(ANNA), "a", "e", tuple(self.anna))
        ben = Kept(person_of(BEN), "b", "e", tuple(self.ben))
        return {harm.kind for harm in check_texts(Bag(self.posts, self.taken, [anna, ben], self.parts))}


Plant: TypeAlias = Callable[[Story], None]


def acknowledged_and_not_kept(story: Story) -> None:
    story.posts.append(post(ANNA, "a9", "nine", 9))


def kept_and_not_answered(story: Story) -> None:
    story.posts.append(post(ANNA, "a9", "nine", 9))
    story.anna.append(question(6, "a9", "nine"))


def kept_twice(story: Story) -> None:
    story.anna += [question(6, "a2", "two"), reply(7, ("a2",), 6, "You said: two", 9_000)]
    story.parts["a", 7] = (sent(0, "SM9"),)
    story.taken.append(Taken("SM9", ANNA, "You said: two", 9))


def answered_twice(story: Story) -> None:
    story.anna.append(reply(6, ("a3",), 4, "You said: three", 9_000))
    story.parts["a", 6] = (sent(0, "SM9"),)
    story.taken.append(Taken("SM9", ANNA, "You said: three", 9))


def kept_in_another_order_than_acknowledged(story: Story) -> None:
    story.posts[2], story.posts[3] = post(ANNA, "a2", "two", 4.5), post(ANNA, "a3", "three", 3)


def reply_names_one_of_two(story: Story) -> None:
    entry = story.anna[4]
    assert isinstance(entry, Reply)
    story.anna[4] = replace(entry, message_ids=("a2",))


def kept_with_other_words(story: Story) -> None:
    story.anna[0] = question(1, "a1", "won")


def kept_though_nobody_wrote_it(story: Story) -> None:
    del story.posts[:2]


def kept_after_a_stop(story: Story) -> None:
    story.ben += [question(7, "b2", "in vain"), reply(8, ("b2",), 7, "", 23_000)]


def sent_again(story: Story) -> None:
    story.taken.append(Taken("SM9", ANNA, "three", 9))


def never_sent(story: Story) -> None:
    del story.taken[0]
    story.parts["a", 2] = ()


def known_as_sent_and_never_taken(story: Story) -> None:
    del story.taken[0]


def second_part_never_sent(story: Story) -> None:
    del story.taken[2]
    story.parts["a", 5] = (sent(0, "SM2"), Part(1, "failed", 0))


def parts_sent_in_another_order(story: Story) -> None:
    story.taken[1], story.taken[2] = story.taken[2], story.taken[1]


def one_message_taken_for_two(story: Story) -> None:
    story.taken[2] = replace(story.taken[2], body="two three")
    story.anna[4] = reply(5, ("a2", "a3"), 3, "two three two three", 6_000)
    story.taken[1] = replace(story.taken[1], body="two three")
    story.parts["a", 5] = (sent(0, "SM2"), sent(1, "SM2"))
    del story.taken[2]


def sent_to_somebody_else(story: Story) -> None:
    story.taken[0] = replace(story.taken[0], number=BEN)


def sent_after_a_stop(story: Story) -> None:
    story.parts["b", 2] = (sent(0, "SM9"),)
    story.taken.insert(3, Taken("SM9", BEN, "No more.", 12))


PLANTS: list[tuple[Kind, Plant]] = [
    (Kind.LOST, acknowledged_and_not_kept),
    (Kind.LOST, kept_and_not_answered),
    (Kind.LOST, never_sent),
    (Kind.LOST, known_as_sent_and_never_taken),
    (Kind.LOST, second_part_never_sent),
    (Kind.LOST, one_message_taken_for_two),
    (Kind.DOUBLED, kept_twice),
    (Kind.DOUBLED, answered_twice),
    (Kind.DOUBLED, sent_again),
    (Kind.REORDERED, kept_in_another_order_than_acknowledged),
    (Kind.REORDERED, parts_sent_in_another_order),
    (Kind.CORRUPTED, reply_names_one_of_two),
    (Kind.CORRUPTED, kept_with_other_words),
    (Kind.CORRUPTED, sent_to_somebody_else),
    (Kind.UNASKED, kept_though_nobody_wrote_it),
    (Kind.UNASKED, kept_after_a_stop),
    (Kind.UNASKED, sent_after_a_stop),
]


@pytest.mark.parametrize(("kind", "plant"), PLANTS, ids=[plant.__name__ for _, plant in PLANTS])
def test_a_planted_bug_is_named(kind: Kind, plant: Plant) -> None:
    story = Story()
    plant(story)
    assert kind in story.harms()


def test_a_history_in_order_has_no_harm() -> None:
    assert Story().harms() == set()


def test_what_is_acknowledged_twice_at_once_may_be_kept_in_either_order() -> None:
    story = Story()
    story.posts[2], story.posts[3] = post(ANNA, "a2", "two", 3.05), post(ANNA, "a3", "three", 3)
    assert story.harms() == set()


def test_what_a_stop_left_in_doubt_may_have_been_sent() -> None:
    story = Story()
    story.parts["b", 2] = (Part(0, "sending", 0),)
    story.taken.insert(3, Taken("SM9", BEN, "No more.", 3))
    assert story.harms() == set()


def test_what_was_let_go_in_a_silence_may_get_in_when_it_comes_again() -> None:
    story = Story()
    story.posts.append(post(BEN, "b2", "in vain", 23))
    story.ben += [question(7, "b2", "in vain"), reply(8, ("b2",), 7, "So?", 24_000)]
    story.parts["b", 8] = (sent(0, "SM9"),)
    story.taken.append(Taken("SM9", BEN, "So?", 25))
    assert story.harms() == set()
