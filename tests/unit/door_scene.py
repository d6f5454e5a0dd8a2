"""A door for people at a phone, and a clock in the test's hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from server.backends.memory import MemoryBell, MemoryStore
from server.channels import websocket
from server.delivery.hub import Hub
from server.delivery.router import Router
from server.errors import Unavailable
from server.inbox.accept import Inbox
from server.inbox.limits import Limits
from server.inbox.notices import notice_of
from server.inbox.numbers import AllowList
from server.inbox.phones import PhoneDoor, Taken
from server.inbox.rate import Rate
from server.metrics import Metrics
from server.model import Accepted, Conversation, Draft, InboundMessage, Question, Text, person_of, text_id
from server.ports import Album

NUMBER = "+491701234567"
NO_LIMITS = Limits(0, 0, 0, 0, 3)
DAY = 86_400
PAUSE = 2


class Shaky(MemoryStore):
    """Does not accept the first `failures` messages, and then all others. So often as `stuck` no conversation ends."""

    failures = 0
    stuck = 0

    async def current(self, person: str, *arguments: Any, ended: str | None = None, **named: Any) -> Conversation:
        if ended is not None and self.stuck:
            self.stuck -= 1
            raise Unavailable("The database is away.")
        return await super().current(person, *arguments, ended=ended, **named)

    async def accept(self, message: InboundMessage) -> Accepted:
        if self.failures:
            self.failures -= 1
            raise Unavailable("The database is away.")
        return await super().accept(message)


@dataclass
class Scene:
    """A door, and a clock in the test's hand."""

    limits: Limits = NO_LIMITS
    allowed: AllowList = field(default_factory=AllowList)
    now: float = 1_790_000_000.0
    messages_per_minute: int = 0
    count: int = 0

    def __post_init__(self) -> None:
        self.store = Shaky(clock=lambda: self.now, lease_seconds=30, most_waiting=50)
        self.door = self.make(self.store)

    def make(self, store: MemoryStore, album: Album | None = None) -> PhoneDoor:
        hub = Hub(Metrics())
        router = Router(hub, hub, lambda event: websocket.encode(event, str), window=0)
        inbox = Inbox(
            store, MemoryBell(), router, Rate(self.messages_per_minute, lambda: self.now), Metrics(), most_bytes=1000
        )
        return PhoneDoor(
            inbox,
            *(store, store, store, store),
            self.allowed,
            self.limits,
            {"sms": "assistant", "whatsapp": "images"},
            album,
            session_seconds=DAY,
            pause_seconds=PAUSE,
            clock=lambda: self.now,
        )

    async def text(self, words: str, number: str = NUMBER, channel: str = "sms", name: str = "", **more: Any) -> Taken:
        self.count += 1
        return await self.door.take(Text(channel, number, text_id(name or str(self.count)), words, **more))

    async def asked(self, number: str = NUMBER) -> list[tuple[str, str | None]]:
        """All that was accepted of the person: words, and the notice that answers them."""
        found: list[Question] = []
        for one in await self.store.recent(person_of(number), 50):
            page = await self.store.after(one.id, 0, 100)
            found += [entry for entry in page.entries if isinstance(entry, Question)]
        return [(one.text, notice_of(one.message_id)) for one in sorted(found, key=lambda one: one.created_at)]

    async def reply(self, number: str = NUMBER) -> None:
        """To all that waits there, when the person has been quiet."""
        self.now += PAUSE
        current = await self.store.current(person_of(number), "sms", "assistant")
        lease = await self.store.take(current.id, "w")
        while lease is not None:
            lease = (await self.store.answer(lease, Draft("fine", "stop"))).next

    async def sessions(self) -> int:
        return len(await self.store.recent(person_of(NUMBER), 50))
