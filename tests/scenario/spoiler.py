"""What lies between clients and a real server, and has a bug: on each socket, frames go through a spoiler."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import websockets

from tests.scenario.history import Frame

ENTRIES = {"messageAccepted", "assistantResponse"}


class Spoiler:
    """One that spoils nothing. `down`: what a client is shown in place of a frame; `up`: what it is shown in place of
    what it says, None if the server is to hear it.
    """

    def down(self, frame: Frame) -> Sequence[Frame]:
        return [frame]

    def up(self, said: Frame) -> Sequence[Frame] | None:
        return None


class LastDeltaDropped(Spoiler):
    def __init__(self) -> None:
        self._held: list[Frame] = []

    def down(self, frame: Frame) -> Sequence[Frame]:
        match frame["messageType"]:
            case "assistantDelta":
                shown, self._held = self._held, [frame]
                return shown
            case "assistantResponse":
                self._held = []
        return [frame]


class BeginningDropped(Spoiler):
    def down(self, frame: Frame) -> Sequence[Frame]:
        return [] if frame["messageType"] == "runStarted" else [frame]


class WordsDropped(Spoiler):
    def down(self, frame: Frame) -> Sequence[Frame]:
        return [] if frame["messageType"] in {"runStarted", "assistantDelta", "assistantSnapshot"} else [frame]


class ResumeOffByOne(Spoiler):
    def __init__(self) -> None:
        self._leaves_out = 0

    def down(self, frame: Frame) -> Sequence[Frame]:
        if frame["messageType"] == "resumed":
            self._leaves_out = 1
        elif self._leaves_out and frame["messageType"] in ENTRIES:
            self._leaves_out = 0
            return []
        return [frame]


class ShownTwice(Spoiler):
    def down(self, frame: Frame) -> Sequence[Frame]:
        return [frame, frame] if frame["messageType"] in ENTRIES else [frame]


class AcknowledgedAndNotKept(Spoiler):
    """Of what is said the third, and all that comes after it."""

    def __init__(self) -> None:
        self._conversation_id = ""
        self._newest = self._said = 0

    def down(self, frame: Frame) -> Sequence[Frame]:
        self._conversation_id = frame.get("conversationId", self._conversation_id)
        self._newest = max(self._newest, frame.get("offset", 0))
        return [frame]

    def up(self, said: Frame) -> Sequence[Frame] | None:
        if said["action"] != "sendMessage":
            return None
        self._said += 1
        if self._said < 3:
            return None
        self._newest += 1
        told = {"messageType": "messageAccepted", "duplicate": False, "offset": self._newest, "text": said["message"]}
        return [{**told, "messageId": said["messageId"], "conversationId": self._conversation_id}]


@asynccontextmanager
async def spoiled(upstream: str, make: Callable[[], Spoiler]) -> AsyncIterator[str]:
    """Where clients connect, in place of `upstream`."""

    async def serve(client: websockets.ServerConnection) -> None:
        assert client.request is not None
        token = {"Authorization": client.request.headers["Authorization"]}
        url = upstream + client.request.path.removeprefix("/ws")
        with suppress(websockets.WebSocketException):
            async with websockets.connect(url, additional_headers=token, compression=None, max_queue=None) as server:
                await pass_on(client, server, make())

    async with websockets.serve(serve, "127.0.0.1", 0, compression=None) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws"


async def pass_on(client: websockets.ServerConnection, server: websockets.ClientConnection, spoiler: Spoiler) -> None:
    """Until either is gone."""

    async def down() -> None:
        async for text in server:
            for frame in spoiler.down(json.loads(text)):
                await client.send(json.dumps(frame))
        await client.close()

    async def up() -> None:
        async for text in client:
            answers = spoiler.up(json.loads(text))
            if answers is None:
                await server.send(text)
            for frame in answers or ():
                await client.send(json.dumps(frame))
        await server.close()

    await asyncio.gather(down(), up())
