"""What the model is shown of the conversation: whole exchanges, question then reply, the newest that fit."""

from __future__ import annotations

from server.model import Exchange, Question, Reply
from server.ports import Log

PAGE = 50


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


async def recent_exchanges(log: Log, conversation_id: str, room: int) -> tuple[Exchange, ...]:
    """The newest answered questions whose texts, with their replies, fit into `room` bytes; oldest first.

    Pairs are made by question, not by offset: of two questions asked at once, the log reads u1 u2 a1 a2 and the model
    is shown u1 a1 u2. Replies that were errors, or empty, are left out.
    """
    found: list[Exchange] = []
    replies: dict[int, str] = {}
    edge: int | None = None
    while True:
        page = await log.before(conversation_id, edge, PAGE)
        for entry in reversed(page.entries):
            match entry:
                case Reply():
                    if entry.draft.code is None and entry.draft.text:
                        replies[entry.question] = entry.draft.text
                case Question() if entry.offset in replies:
                    exchange = Exchange(entry.text, replies.pop(entry.offset))
                    room -= size_of(exchange)
                    if room < 0:
                        return tuple(reversed(found))
                    found.append(exchange)
                case Question():
                    pass
        if not page.more:
            return tuple(reversed(found))
        edge = page.entries[0].offset


def size_of(exchange: Exchange) -> int:
    return len(exchange.question.encode()) + len(exchange.reply.encode())
