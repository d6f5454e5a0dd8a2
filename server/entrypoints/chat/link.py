"""The way to the server: one socket after another, until there is nothing to come back for."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from server.channels.websocket import frames
from server.entrypoints.chat.address import Address, Identity
from server.entrypoints.chat.verdict import Again, Stop, Verdict, after_close, after_refusal, delays
from server.errors import ServerError

GREETING_SECONDS = 10.0
CLOSE_SECONDS = 2.0
LARGEST_FRAME = 8 * 1024 * 1024
SHORTEST_DELAY = 0.1
# A connection that held for so long, or brought more than this, was a good one: what follows is another failure.
STEADY_SECONDS = 10.0
GREETING_FRAMES = 2

decoder: msgspec.json.Decoder[frames.ServerFrame] = msgspec.json.Decoder(frames.ServerFrame)


class Patience(NamedTuple):
    """Seconds for which an absent server is tried: at the beginning, and after it was there."""

    at_first: float
    later: float


class Link:
    """`received` gets every known frame, `lost` the reason each time there is no connection.

    `model` is the server's word for it, once it was reached.
    """

    def __init__(
        self,
        address: Address,
        identity: Identity,
        patience: Patience,
        received: Callable[[frames.ServerFrame], None],
        lost: Callable[[Again], None],
    ) -> None:
        self._address = address
        self._identity = identity
        self._patience = patience
        self._received = received
        self._lost = lost
        self.model = ""
        self._delays = delays()
        self._sending: asyncio.TaskGroup | None = None
        self._socket: ClientConnection | None = None
        self._after: float | None = None
        self._final: Stop | None = None
        self._left_at = 0.0
        self._next_try = 0.0
        self._was_there = False
        self._heard = 0

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    @property
    def status(self) -> str:
        """In a few words."""
        if self.is_open:
            return "connected"
        left = self._next_try - time.monotonic()
        return f"reconnecting in {int(left) + 1} s" if left > 0 else "connecting"

    def send(self, frame: frames.ClientFrame) -> None:
        """In the order in which it is told to; lost, where there is no connection."""
        if self._socket is not None and self._sending is not None:
            self._sending.create_task(send(self._socket, frame))

    def drop(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()

    async def run(self) -> str:
        """Why there is no coming back."""
        self._left_at = time.monotonic()
        while isinstance(verdict := await self._connection(), Again):
            delay = self._delay(verdict)
            patience = self._patience.later if self._was_there else self._patience.at_first
            if time.monotonic() + delay - self._left_at > patience:
                return f"{verdict.why} Giving up after {patience:.0f} s."
            self._next_try = time.monotonic() + delay
            self._lost(verdict)
            await asyncio.sleep(delay)
        return verdict.why

    def _delay(self, verdict: Again) -> float:
        """What the server asked for, the first time; else ours."""
        hint = verdict.after if self._after is None else self._after
        self._after = None
        return next(self._delays) if hint is None else hint

    async def _connection(self) -> Verdict:
        try:
            async with connect(
                self._address.url,
                additional_headers={"Authorization": f"Bearer {self._identity.token()}"},
                compression=None,
                proxy=None if self._address.is_here else True,
                open_timeout=GREETING_SECONDS,
                close_timeout=CLOSE_SECONDS,
                max_size=LARGEST_FRAME,
            ) as socket:
                return await self._converse(socket)
        except ServerError as error:
            return Stop(error.message)
        except ssl.SSLError as error:
            return Stop(f"There is no secure connection to {self._address}: {error.reason}.")
        except InvalidStatus as refused:
            answer = refused.response
            hint = answer.headers.get("Retry-After")
            return after_refusal(
                answer.status_code, bytes(answer.body or b""), hint, renewable=self._identity.renewable
            )
        except (OSError, TimeoutError, InvalidHandshake, EOFError):
            return Again(f"No server answers at {self._address}.", absent=True)

    async def _converse(self, socket: ClientConnection) -> Verdict:
        began, self._heard = time.monotonic(), 0
        async with asyncio.TaskGroup() as self._sending:
            with suppress(ConnectionClosed, TimeoutError):
                await self._listen(socket)
            self._socket = None
        if self._heard > GREETING_FRAMES or time.monotonic() - began > STEADY_SECONDS:
            self._delays = delays()
            self._left_at = time.monotonic()
        return self._final or after_close(socket.close_code, socket.close_reason)

    async def _listen(self, socket: ClientConnection) -> None:
        async with asyncio.timeout(GREETING_SECONDS):
            greeting = await socket.recv()
        if not self._was_there:
            self.model = await self._address.model()
        self._socket, self._was_there = socket, True
        self._read(greeting)
        async for text in socket:
            self._read(text)

    def _read(self, text: str | bytes) -> None:
        try:
            frame = decoder.decode(text)
        except msgspec.MsgspecError:
            return  # A frame of a newer server.
        self._heard += 1
        if isinstance(frame, frames.Disconnecting):
            self._after = max(frame.after_ms / 1000, SHORTEST_DELAY)
            self._final = None if frame.reconnect else Stop("The server ended the connection for good.")
        if isinstance(frame, frames.TokenExpiring) and self._identity.renewable:
            self.send(frames.RefreshToken(self._identity.token()))
        else:
            self._received(frame)


async def send(socket: ClientConnection, frame: frames.ClientFrame) -> None:
    with suppress(ConnectionClosed):  # The reader hears of it too, and says why.
        await socket.send(msgspec.json.encode(frame), text=True)
