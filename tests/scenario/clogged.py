"""Readers that stop reading."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import websockets

from tests.scenario.history import Frame, Got, Sent, Socket

# The system takes some megabytes of what nobody reads before a server notices. A quote is longer as it is sent.
TEXT = '"' * 30_000
TEXTS = 4
PAUSE_SECONDS = 0.02
SAYING_SECONDS = 60.0
PATIENCE = 120.0
EVERYTHING = json.dumps({"action": "history", "limit": 100})


class Clogged:
    """Says a few things, and then asks for everything again and again; the record of it is as that of any device.

    `stopped`: it was answered in time, and has stopped reading; `outlasted`: nobody ended that for so long.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen = Socket(f"{name}/reader")
        self.user_id = ""
        self.stopped = False
        self.outlasted = False

    async def run(self, port: int, token: str) -> None:
        """Until it is cut off, or the server is gone."""
        headers = {"Authorization": f"Bearer {token}"}
        url = f"ws://127.0.0.1:{port}/ws"
        with suppress(OSError, websockets.WebSocketException):
            async with websockets.connect(url, additional_headers=headers, compression=None, max_queue=None) as socket:
                async with asyncio.timeout(SAYING_SECONDS):
                    await self._say_all(socket)
                await self._ask_on(socket)

    async def _say_all(self, socket: websockets.ClientConnection) -> None:
        connected = await self._frame(socket)
        self.user_id = connected["userId"]
        for number in range(TEXTS):
            await self._say(socket, Sent(f"{self.name}-{number}", connected["conversationId"], TEXT))

    async def _say(self, socket: websockets.ClientConnection, sent: Sent) -> None:
        self.seen.events.append(sent)
        await socket.send(json.dumps({"action": "sendMessage", "message": sent.text, "messageId": sent.message_id}))
        while (await self._frame(socket))["messageType"] != "assistantResponse":
            pass

    async def _ask_on(self, socket: websockets.ClientConnection) -> None:
        socket.transport.pause_reading()
        self.stopped = True
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    await socket.send(EVERYTHING)
                    await asyncio.sleep(PAUSE_SECONDS)
        except TimeoutError:
            self.outlasted = True
        finally:
            socket.transport.abort()

    async def _frame(self, socket: websockets.ClientConnection) -> Frame:
        frame: Frame = json.loads(await socket.recv())
        self.seen.events.append(Got(frame))
        return frame
