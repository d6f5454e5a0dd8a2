"""People who keep talking, whatever happens to the server, and a record of all that they did and saw."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import websockets

from tests.scenario.history import Asked, Frame, Got, Sent, Settled, Socket

GREETING_SECONDS = 10
# The head of a frame of a hundred bytes, and ten of them.
HALF_A_FRAME = b"\x81\xe4\x01\x02\x03\x04half a fra"
AT_ONCE = struct.pack("ii", 1, 0)
WORDS = (
    "hello",
    "grüß",
    "dich",
    "👩‍👩‍👧",
    "naïve",
    "e\u0301clair",
    '"quoted"',
    "back\\slash",
    "中文",
    "tab\tbed",
    "line\nbroken",
    "ok.",
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a device behaves. Seconds from one burst of messages to the next; chances are per frame that it gets."""

    pause: tuple[float, float] = (0.02, 0.3)
    most_at_once: int = 3
    most_waiting: int = 6
    away: tuple[float, float] = (0.01, 0.1)
    drops: float = 0.005
    resumes_again: float = 0.03
    forgets: float = 0.2


@dataclass(slots=True)
class Person:
    """All that one person said, on whatever device."""

    name: str
    token: str
    said: list[str] = field(default_factory=list)


class Device:
    """A client with the manners that the protocol asks for: it comes back, resumes, and sends again what nobody
    acknowledged.
    """

    def __init__(
        self,
        name: str,
        person: Person,
        urls: Sequence[str],
        *,
        pace: Pace,
        seed: str,
        stop: asyncio.Event,
        sockets: list[Socket],
    ) -> None:
        self.name = name
        self.answered: set[str] = set()
        self.settled = False
        self.user_id = ""
        self._open: websockets.ClientConnection | None = None
        self.person = person
        self._urls = urls
        self._pace = pace
        self._random = random.Random(seed)
        self._stop = stop
        self._sockets = sockets
        self._unacknowledged: dict[str, Sent] = {}
        self._conversation_id = ""
        self._epoch = ""
        self._last = 0
        self._speaks_at = 0.0

    @property
    def waits_for(self) -> Sequence[str]:
        return [message_id for message_id in self.person.said if message_id not in self.answered]

    async def run(self) -> None:
        """Until it was told to stop and all that the person said is answered."""
        # Without a bound on what lies unread: a client that leaves with a full queue waits ten seconds for its close.
        options: dict[str, Any] = {"compression": None, "max_queue": None}
        headers = {"Authorization": f"Bearer {self.person.token}"}
        while not self.settled:
            try:
                async with websockets.connect(
                    self._random.choice(self._urls), additional_headers=headers, **options
                ) as self._open:
                    await Visit(self, self._open).run()
            except (OSError, websockets.WebSocketException):
                self._open = None
                await asyncio.sleep(self._random.uniform(*self._pace.away))

    def cut(self) -> None:
        """Its connection is reset in the middle of a frame."""
        if self._open is not None:
            transport = self._open.transport
            transport.write(HALF_A_FRAME)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            transport.abort()

    # --- what a visit asks ---

    def open(self) -> Socket:
        seen = Socket(self.name, deltas="stream=0" not in self._urls[0])
        self._sockets.append(seen)
        return seen

    def resume(self) -> Asked:
        """From the last offset, or from a little before."""
        forgotten = self._random.randint(1, 4) if self._random.random() < self._pace.forgets else 0
        return Asked(self._conversation_id, max(0, self._last - forgotten), self._epoch)

    def unacknowledged(self) -> Sequence[Sent]:
        return list(self._unacknowledged.values())

    def finished(self) -> bool:
        return self._stop.is_set() and not self.waits_for

    def drops(self) -> bool:
        return self._random.random() < self._pace.drops

    def resumes_again(self) -> bool:
        return self._random.random() < self._pace.resumes_again

    def patience(self) -> float:
        """Seconds until it has something to do."""
        return 0.1 if self._stop.is_set() else max(0.001, self._speaks_at - now())

    def due(self) -> Sequence[Sent]:
        """What it says now."""
        if self._stop.is_set() or now() < self._speaks_at:
            return ()
        self._speaks_at = now() + self._random.uniform(*self._pace.pause)
        room = self._pace.most_waiting - len(self.waits_for)
        return [self._say() for _ in range(min(room, self._random.randint(1, self._pace.most_at_once)))]

    def _say(self) -> Sent:
        message_id = f"{self.name.replace('/', '-')}-{len(self.person.said)}"
        words = self._random.choices(WORDS, k=self._random.randint(4, 11))
        sent = Sent(message_id, self._conversation_id, " ".join([message_id, *words]))
        self.person.said.append(message_id)
        self._unacknowledged[message_id] = sent
        return sent

    def note(self, frame: Frame) -> None:
        match frame["messageType"]:
            case "connected":
                self.user_id = frame["userId"]
                self._conversation_id, self._epoch = frame["conversationId"], frame["epoch"]
            case "messageAccepted":
                self._unacknowledged.pop(frame["messageId"], None)
                self._went_on(frame)
            case "assistantResponse":
                self.answered.add(frame["messageId"])
                self._went_on(frame)

    def _went_on(self, frame: Frame) -> None:
        """What comes live before the replay is no reason to leave out what lies between."""
        if frame["offset"] == self._last + 1:
            self._last = frame["offset"]


class Visit:
    """One socket of a device."""

    def __init__(self, device: Device, socket: websockets.ClientConnection) -> None:
        self._device = device
        self._socket = socket
        self._seen = device.open()

    async def run(self) -> None:
        """Raises what websockets raises when the connection ends before all is answered."""
        await self._frame(GREETING_SECONDS)
        await self._resume()
        for sent in self._device.unacknowledged():
            await self._send(sent)
        while not self._device.finished():
            for sent in self._device.due():
                await self._send(sent)
            await self._listen()
        await self._settle()

    async def _listen(self) -> None:
        try:
            frame = await self._frame(self._device.patience())
        except TimeoutError:
            return
        if frame["messageType"] == "error" or self._device.drops():
            # A refused message is sent again on the next socket, before all that the device says later.
            self._socket.transport.abort()
        elif self._device.resumes_again():
            await self._resume()

    async def _settle(self) -> None:
        await self._write("ping")
        while (await self._frame(GREETING_SECONDS))["messageType"] != "pong":
            pass
        self._seen.events.append(Settled())
        self._device.settled = True

    async def _resume(self) -> None:
        asked = self._device.resume()
        self._seen.events.append(asked)
        await self._write("resume", conversationId=asked.conversation_id, after=asked.after, epoch=asked.epoch)

    async def _send(self, sent: Sent) -> None:
        self._seen.events.append(sent)
        await self._write("sendMessage", message=sent.text, messageId=sent.message_id)

    async def _write(self, action: str, **fields: object) -> None:
        await self._socket.send(json.dumps({"action": action, **fields}))

    async def _frame(self, seconds: float) -> Frame:
        async with asyncio.timeout(seconds):
            frame: Frame = json.loads(await self._socket.recv())
        self._seen.events.append(Got(frame))
        self._device.note(frame)
        return frame


@dataclass(slots=True)
class Crowd:
    """People at work. `sockets`: the record so far."""

    devices: Sequence[Device]
    sockets: list[Socket]
    stop: asyncio.Event
    tasks: Sequence[asyncio.Task[None]] = ()

    @property
    def people(self) -> set[str]:
        """As the server names them."""
        return {device.user_id for device in self.devices} - {""}

    @property
    def said(self) -> int:
        """How many messages in all."""
        return sum(len(person.said) for person in {one.person.name: one.person for one in self.devices}.values())

    @property
    def answered(self) -> int:
        """How many of them, as far as their devices know."""
        most: dict[str, int] = {}
        for one in self.devices:
            most[one.person.name] = max(most.get(one.person.name, 0), len(one.answered))
        return sum(most.values())

    def scatter(self) -> None:
        """Every connection is reset in the middle of a frame."""
        for device in self.devices:
            device.cut()

    async def settle(self, seconds: float) -> list[str]:
        """Nobody says anything new; returns once all is answered, or with those who still wait and for what."""
        self.stop.set()
        await asyncio.wait(self.tasks, timeout=seconds)
        return [f"{device.name} waits for {device.waits_for}" for device in self.devices if not device.settled]


@asynccontextmanager
async def crowd(
    url: str, token: Callable[[str], str], *, people: int, seed: int, pace: Pace, others: Sequence[str] = ()
) -> AsyncIterator[Crowd]:
    """Everyone has a phone; every second person also a laptop, and every third a device that wants no deltas. Each
    connects to `url` or one of the `others`, as it comes.
    """
    stop = asyncio.Event()
    sockets: list[Socket] = []
    devices = []
    for number in range(people):
        person = Person(f"p{number}", token(f"p{number}"))
        queries = {
            "phone": "",
            **({"laptop": ""} if number % 2 else {}),
            **({} if number % 3 else {"seed": "?stream=0"}),
        }
        for name, query in queries.items():
            label = f"{person.name}/{name}"
            devices.append(
                Device(
                    label,
                    person,
                    [one + query for one in (url, *others)],
                    pace=pace,
                    seed=f"{seed} {label}",
                    stop=stop,
                    sockets=sockets,
                )
            )
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(device.run()) for device in devices]
        try:
            yield Crowd(devices, sockets, stop, running)
        finally:
            for task in running:
                task.cancel()


def now() -> float:
    return asyncio.get_running_loop().time()
