"""What a provider of texts posted and was asked to send, and what a store kept: a checker's input, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Protocol, TypeAlias

from server.model import Part, Reply, person_of
from server.ports import Outbox
from tests.scenario.history import Kept, Store, read_logs

STOP, START = "STOP", "START"
# Of a reply: the conversation, and its offset there.
Place: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Post:
    """A webhook, once. `log_id`: the message id that its text has in a log. Times are seconds since 1970.

    `status` is None if there was no answer.
    """

    number: str
    log_id: str
    body: str
    began: float
    ended: float
    status: int | None


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that the provider took to send, in their order."""

    provider_id: str
    number: str
    body: str
    at: float


@dataclass(frozen=True)
class Written:
    """A text that a person wrote, and all of its posts."""

    number: str
    log_id: str
    body: str
    posts: Sequence[Post]

    @cached_property
    def began(self) -> float:
        return min(post.began for post in self.posts)

    @cached_property
    def last(self) -> float:
        return max(post.ended for post in self.posts)

    @cached_property
    def acknowledged(self) -> float:
        """When it was first; infinite if it never was."""
        return min((post.ended for post in self.posts if post.status == 200), default=float("inf"))


@dataclass(frozen=True, slots=True)
class Silence:
    """From a STOP to the next START. Between `sure` and `unsure` nobody can doubt it."""

    began: float
    sure: float
    unsure: float
    over: float


@dataclass(frozen=True, slots=True)
class Bag:
    """Everything that is known once all is quiet. `parts`: of each reply, as the store has them."""

    posts: Sequence[Post]
    taken: Sequence[Taken]
    logs: Sequence[Kept]
    parts: Mapping[Place, Sequence[Part]]

    def written(self) -> Mapping[str, Sequence[Written]]:
        """By number, each in the order in which they were first posted."""
        by_text = sorted(self.posts, key=lambda post: (post.number, post.log_id, post.body))
        grouped = groupby(by_text, key=lambda post: (post.number, post.log_id, post.body))
        texts = sorted((Written(*key, tuple(posts)) for key, posts in grouped), key=lambda one: one.began)
        return {number: [one for one in texts if one.number == number] for number in {one.number for one in texts}}


def silences_of(texts: Iterable[Written]) -> list[Silence]:
    """Of one person, who waits with these words until what was written before is taken."""
    found: list[Silence] = []
    for text in texts:
        is_open = bool(found) and found[-1].over == float("inf")
        if text.body == STOP and not is_open:
            found.append(Silence(text.began, text.acknowledged, float("inf"), float("inf")))
        elif text.body == START and is_open:
            found[-1] = Silence(found[-1].began, found[-1].sure, text.began, text.acknowledged)
    return found


class TextStore(Store, Outbox, Protocol):
    """Where logs, and what was sent of them, are read from."""


async def read_bag(store: TextStore, posts: Sequence[Post], taken: Sequence[Taken]) -> Bag:
    people = {person_of(post.number) for post in posts}
    logs = await read_logs(store, sorted(people))
    replies = [(log.conversation_id, one.offset) for log in logs for one in log.entries if isinstance(one, Reply)]
    parts = {place: tuple(await store.parts_of(*place)) for place in replies}
    return Bag(list(posts), list(taken), logs, parts)
