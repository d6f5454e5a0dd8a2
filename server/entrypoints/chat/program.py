"""The parts put together: lines and keys to the talk, its effects to the link and the printer."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from typing import Protocol

from server.channels.websocket import frames
from server.entrypoints.chat import effects
from server.entrypoints.chat.address import Address, Identity
from server.entrypoints.chat.editor import Editor
from server.entrypoints.chat.link import Link, Patience
from server.entrypoints.chat.talk import Talk
from server.entrypoints.chat.terminal import Keyboard, lines, writer
from server.entrypoints.chat.verdict import Again

TICK_SECONDS = 0.25
SETTLE_SECONDS = 2.0
AT_A_PIPE = Patience(6, 60)
AT_A_TERMINAL = Patience(600, 600)
BY_SIGNAL = 128


class Printer(Protocol):
    def show(self, what: effects.Show) -> None: ...

    def bottom(self, status: str, typed: tuple[str, int] | None) -> None:
        """What is so at present; typed: a line under way and the place of its cursor."""
        ...

    def redraw(self) -> None: ...

    def close(self) -> None: ...


class Program:
    """One run of the client. `interactive`: a person types, else lines come from a pipe."""

    def __init__(self, address: Address, identity: Identity, printer: Printer, *, interactive: bool) -> None:
        self._address = address
        self._identity = identity
        self._printer = printer
        self._editor = Editor() if interactive else None
        self._talk = Talk(f"t{secrets.token_hex(8)}", time.monotonic)
        patience = AT_A_TERMINAL if interactive else AT_A_PIPE
        self._link = Link(address, identity, patience, self._received, self._lost)
        self._told = ""
        self._moved = asyncio.Event()
        self._code: int | None = None

    async def run(self) -> int:
        """The exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._leave, BY_SIGNAL + number)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            async with asyncio.TaskGroup() as tasks:
                listening = self._from_pipe() if self._editor is None else self._from_keyboard(self._editor)
                running = [tasks.create_task(part) for part in (listening, self._connect(), self._tick())]
                await self._until_left()
                for task in running:
                    task.cancel()
        finally:
            self._printer.close()
        return self._code or 0

    # --- what runs

    async def _connect(self) -> None:
        why = await self._link.run()
        self._printer.show(effects.Told(why, warning=True))
        self._leave(1)

    async def _tick(self) -> None:
        while True:
            self._talk.tick()
            self._perform()
            await asyncio.sleep(TICK_SECONDS)

    async def _from_pipe(self) -> None:
        """A line at a time: the next when all that the one before asked for is there."""
        async for line in lines(sys.stdin.fileno()):
            self._talk.typed(line)
            self._perform()
            while self._talk.owed:
                await self._moved.wait()
        self._leave(0)

    async def _from_keyboard(self, editor: Editor) -> None:
        keyboard = Keyboard(
            sys.stdin.fileno(),
            writer(sys.stdout),
            lambda key: self._press(editor, keyboard, key),
            partial(self._leave, 0),
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._printer.redraw)
        loop.add_signal_handler(signal.SIGCONT, self._come_back, keyboard)
        with keyboard:
            await asyncio.Event().wait()

    async def _until_left(self) -> None:
        """What was just said gets a moment to be accepted."""
        while self._code is None:
            await self._moved.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                while self._talk.unsent and not self._link.status:
                    await self._moved.wait()
        if self._talk.unsent:
            self._tell("The server may not have got what you said last.", warning=True)

    # --- what happens

    def _press(self, editor: Editor, keyboard: Keyboard, key: str) -> None:
        match key:
            case "interrupt":
                self._interrupt()
            case "end of input" if not editor.text:
                self._leave(0)
            case "suspend":
                keyboard.suspend()
            case "redraw":
                self._printer.redraw()
            case _:
                line = editor.press(key)
                if line is not None:
                    self._talk.typed(line)
        self._perform()

    def _come_back(self, keyboard: Keyboard) -> None:
        keyboard.take()
        self._printer.redraw()

    def _interrupt(self) -> None:
        """A line under way is given up first."""
        if self._editor is None:
            self._leave(BY_SIGNAL + signal.SIGINT)
        elif self._editor.text:
            self._editor.clear()
        else:
            self._talk.interrupted()
        self._perform()

    def _received(self, frame: frames.ServerFrame) -> None:
        if isinstance(frame, frames.Connected):
            self._told = ""
        self._talk.received(frame)
        self._perform()

    def _lost(self, verdict: Again) -> None:
        """Said once, however often it fails in the same way."""
        self._talk.lost()
        hint = f" Start it with: {self._address.start}" if verdict.absent and self._address.start else ""
        if verdict.why != self._told:
            self._told = verdict.why
            self._tell(verdict.why + hint, warning=True)
        self._perform()

    def _leave(self, code: int) -> None:
        if self._code is None:
            self._code = code or int(self._talk.failed and self._editor is None)
        self._wake()

    # --- what is done about it

    def _perform(self) -> None:
        while found := self._talk.take():
            for effect in found:
                self._do(effect)
        status = self._link.status
        if not status:
            status = self._talk.status
        elif self._talk.unsent:
            status += f", {self._talk.unsent} to send"
        typed = None if self._editor is None else (self._editor.text, self._editor.cursor)
        self._printer.bottom(status, typed)
        self._wake()

    def _do(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Send(frame):
                self._link.send(frame)
            case effects.Welcome():
                self._welcome(effect)
            case effects.Renew():
                self._renew()
            case effects.Reconnect():
                self._link.drop()
            case effects.Leave():
                self._leave(0)
            case _:
                self._printer.show(effect)

    def _welcome(self, welcome: effects.Welcome) -> None:
        if self._editor is None:
            return
        model = f"; {self._link.model} answers" if self._link.model else ""
        self._tell(f"Connected to {self._address} as {self._identity.name or welcome.user_id}{model}.")
        if welcome.offset:
            self._tell("This conversation goes on from before: /history shows it, /new begins another.")
        self._tell("/help lists the commands; Ctrl-C cancels a reply, Ctrl-D leaves.")

    def _renew(self) -> None:
        if self._identity.renewable:
            self._talk.renewed(self._identity.token())
        else:
            self._tell("Your token is about to expire: get a new one, and start again with it.", warning=True)

    def _tell(self, text: str, *, warning: bool = False) -> None:
        self._printer.show(effects.Told(text, warning))

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
