"""The parts put together: what is typed to the talk, its frames to the link, and what both have to say to the face."""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec

from server.channels.websocket import frames
from server.entrypoints.chat.address import Address, Identity
from server.entrypoints.chat.link import Link, Patience
from server.entrypoints.chat.talk import Talk
from server.entrypoints.chat.verdict import Again
from server.entrypoints.chat.view import Face, Kind

Pictured = TypeVar("Pictured", frames.AssistantResponse, frames.HistoryEntry)

TICK_SECONDS = 0.25
SETTLE_SECONDS = 2.0
AT_A_PIPE = Patience(6, 60)
AT_A_TERMINAL = Patience(600, 600)
BY_SIGNAL = 128


class Program:
    """One run of the client. `interactive`: a person types, else lines come from a pipe."""

    def __init__(self, address: Address, identity: Identity, face: Face, *, interactive: bool) -> None:
        self._address = address
        self._identity = identity
        self._face = face
        self._interactive = interactive
        patience = AT_A_TERMINAL if interactive else AT_A_PIPE
        self._link = Link(address, identity, patience, self._received, self._lost)
        name, leave = f"t{secrets.token_hex(8)}", partial(self.leave, 0)
        self._talk = Talk(name, time.monotonic, face, send=self._link.send, drop=self._link.drop, leave=leave)
        self._welcome: frames.Connected | None = None
        self._told = ""
        self._moved = asyncio.Event()
        self._code: int | None = None

    async def run(self) -> int:
        """The exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.leave, BY_SIGNAL + number)
        loop.add_signal_handler(signal.SIGINT, self._face.interrupt, self)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part) for part in (self._face.listen(self), self._connect(), self._tick())]
            await self._until_left()
            for task in running:
                task.cancel()
        return self._code or 0

    async def _connect(self) -> None:
        self._face.show(Kind.WARNING, await self._link.run())
        self.leave(1)

    async def _tick(self) -> None:
        while True:
            self._talk.tick()
            self._wake()
            await asyncio.sleep(TICK_SECONDS)

    async def _until_left(self) -> None:
        """What was just said gets a moment to be accepted."""
        while self._code is None:
            await self._moved.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                while self._talk.requests.messages and self._link.is_open:
                    await self._moved.wait()
        if self._talk.requests.messages:
            self._face.show(Kind.WARNING, "The server may not have got what you said last.")

    # --- what the person does

    @property
    def status(self) -> str:
        if self._link.is_open:
            return self._talk.transcript.status or self._link.status
        return (
            f"{self._link.status}, {self._talk.requests.messages} to send"
            if self._talk.requests.messages
            else self._link.status
        )

    def typed(self, line: str) -> None:
        self._talk.typed(line)
        self._wake()

    async def answered(self) -> None:
        while self._talk.owed:
            await self._moved.wait()

    def interrupt(self) -> None:
        self._talk.interrupted()
        self._wake()

    def leave(self, code: int) -> None:
        if self._code is None:
            self._code = code or int(self._talk.failed and not self._interactive)
        self._wake()

    # --- what the connection does

    def _received(self, frame: frames.ServerFrame) -> None:
        if isinstance(frame, frames.Connected):
            self._told = ""
            if self._welcome is None and self._interactive:
                self._greet(frame)
            self._welcome = frame
        self._talk.received(self._with_whole_links(frame))
        self._wake()

    def _with_whole_links(self, frame: frames.ServerFrame) -> frames.ServerFrame:
        """A terminal does not know what a link without a host is on."""
        match frame:
            case frames.AssistantResponse():
                return self._located(frame)
            case frames.HistoryPage():
                return msgspec.structs.replace(frame, messages=[self._located(entry) for entry in frame.messages])
            case _:
                return frame

    def _located(self, frame: Pictured) -> Pictured:
        return msgspec.structs.replace(frame, images=tuple(map(self._address.complete, frame.images)))

    def _greet(self, welcome: frames.Connected) -> None:
        model = f"; {self._link.model} answers" if self._link.model else ""
        who = self._identity.name or welcome.user_id
        self._face.show(Kind.REMARK, f"Connected to {self._address} as {who}{model}.")
        if welcome.offset:
            self._face.show(
                Kind.REMARK, "This conversation goes on from before: /history shows it, /new begins another."
            )
        self._face.show(Kind.REMARK, "/help lists the commands; Ctrl-C cancels a reply, Ctrl-D leaves.")

    def _lost(self, verdict: Again) -> None:
        """Said once, however often it fails in the same way."""
        self._talk.lost()
        hint = f" Start it with: {self._address.start}" if verdict.absent and self._address.start else ""
        if verdict.why != self._told:
            self._told = verdict.why
            self._face.show(Kind.WARNING, verdict.why + hint)
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
