"""What the model is shown of the conversation: whole exchanges, question then reply, as many as fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from server.inbox.notices import NOTICE
from server.model import Entry, Exchange, Question, Reply
from server.ports import Log

# Entries, of the reads that a turn makes: the first is enough for most conversations, and for small models.
PAGES = (50, 400, 400)
# One of so many parts of the room is for how the conversation began.
OPENING_PART = 4


class TokenScale:
    """Tokens from bytes. An estimate, corrected by what the provider counts."""

    def __init__(self, bytes_per_token: float = 3.0) -> None:
        self._bytes_per_token = bytes_per_token

    def bytes_in(self, tokens: int) -> int:
        return int(tokens * self._bytes_per_token)

    def learn(self, size: int, tokens: int) -> None:
        """`size` bytes turned out to be `tokens`. Short prompts say little: their framing outweighs their words."""
        if tokens >= 100:
            seen = min(max(size / tokens, 1.0), 6.0)
            self._bytes_per_token += (seen - self._bytes_per_token) * 0.2


class Pairs:
    """A log read backwards: replies whose questions are yet to come, with the texts of those that came."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Reply, list[str]]] = {}

    def take(self, entry: Entry) -> Exchange | None:
        """The exchange that begins with this entry."""
        match entry:
            case Reply():
                if entry.draft.code is None and entry.draft.text and entry.draft.finish_reason != NOTICE:
                    self._open[entry.question] = entry, []
                return None
            case Question():
                return self._ask(entry)
            case _:
                assert_never(entry)

    def _ask(self, question: Question) -> Exchange | None:
        for reply, texts in self._open.values():
            if reply.answers(question.offset):
                texts.append(question.text)
        if question.offset not in self._open:
            return None
        reply, texts = self._open.pop(question.offset)
        return Exchange("\n".join(reversed(texts)), reply.draft.text)


async def recent_exchanges(
    log: Log, conversation_id: str, room: int, *, keep_opening: bool = False
) -> tuple[Exchange, ...]:
    """The newest answered questions whose texts, with their replies, fit into `room` bytes; oldest first. With
    `keep_opening`, where not all of them fit, part of the room is for the oldest: what is left out is in the middle.
    What is further back than a few pages is not looked for: a turn costs so many reads, whatever was said.

    Pairs are made by question, not by offset: of two questions asked at once, the log reads u1 u2 a1 a2 and the model
    is shown u1 a1 u2. Questions that one reply answers are shown as one. Replies that were errors, empty, or
    notices of the server are left out.
    """
    newest, more = await newest_exchanges(log, conversation_id, room)
    begun = await opening(log, conversation_id, room // OPENING_PART) if keep_opening and more else {}
    rest = {offset: exchange for offset, exchange in newest.items() if offset not in begun}
    shown = fitting(rest, room - sum(map(size_of, begun.values())))
    return (*begun.values(), *reversed(shown.values()))


async def newest_exchanges(log: Log, conversation_id: str, room: int) -> tuple[dict[int, Exchange], bool]:
    """Those that fit by the offsets of their questions, the newest first; and whether there may be more."""
    pairs, found = Pairs(), dict[int, Exchange]()
    edge: int | None = None
    for limit in PAGES:
        page = await log.before(conversation_id, edge, limit)
        for entry in reversed(page.entries):
            exchange = pairs.take(entry)
            if exchange is None:
                continue
            room -= size_of(exchange)
            if room < 0:
                return found, True
            found[entry.offset] = exchange
        if not page.more:
            return found, False
        edge = page.entries[0].offset
    return found, True


async def opening(log: Log, conversation_id: str, room: int) -> dict[int, Exchange]:
    """The oldest exchanges that fit, as far as a page of the log has them; the oldest first."""
    pairs, page = Pairs(), await log.after(conversation_id, 0, PAGES[0])
    found = {entry.offset: exchange for entry in reversed(page.entries) if (exchange := pairs.take(entry)) is not None}
    return fitting(dict(reversed(found.items())), room)


def fitting(exchanges: Mapping[int, Exchange], room: int) -> dict[int, Exchange]:
    """The first ones, as many as fit together."""
    kept: dict[int, Exchange] = {}
    for offset, exchange in exchanges.items():
        room -= size_of(exchange)
        if room < 0:
            break
        kept[offset] = exchange
    return kept


def size_of(exchange: Exchange) -> int:
    return len(exchange.question.encode()) + len(exchange.reply.encode())
