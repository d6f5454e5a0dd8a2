"""A client of the socket, as an application developer would write it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import websockets

from tests.scenario.process import ServerProcess

Frame: TypeAlias = dict[str, Any]

PATIENCE = 30


class Client:
    """One socket, after its `connected` frame."""

    def __init__(self, socket: websockets.ClientConnection, connected: Frame) -> None:
        self.socket = socket
        self.connected = connected
        self.frames: list[Frame] = [connected]

    @property
    def conversation_id(self) -> str:
        return str(self.connected["conversationId"])

    async def send(self, action: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"action": action, **fields}))

    async def say(self, text: str, **fields: Any) -> None:
        await self.send("sendMessage", message=text, **fields)

    async def frame(self) -> Frame:
        text = await asyncio.wait_for(self.socket.recv(), PATIENCE)
        frame: Frame = json.loads(text)
        self.frames.append(frame)
        return frame

    async def until(self, kind: str, **fields: Any) -> Frame:
        """The next frame of this kind, with these fields; the ones before it are in `frames`."""
        while True:
            frame = await self.frame()
            if frame["messageType"] == kind and fields.items() <= frame.items():
                return frame

    async def answer(self, action: str, kind: str, **fields: Any) -> Frame:
        await self.send(action, **fields)
        return await self.until(kind)

    async def ask(self, text: str, **fields: Any) -> Frame:
        """Say it, and wait for the reply."""
        await self.say(text, **fields)
        accepted = await self.until("messageAccepted", text=text)
        return await self.until("assistantResponse", messageId=accepted["messageId"])

    def of(self, kind: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["messageType"] == kind]


@asynccontextmanager
async def client(
    server: ServerProcess, user: str = "anna", query: str = "", *, token: str = "", path: str = "/ws"
) -> AsyncIterator[Client]:
    """With its token in a header, unless it is in the query."""
    headers = {} if "Auth=" in query else {"Authorization": f"Bearer {token or server.token(user)}"}
    async with websockets.connect(
        server.socket(query, path), additional_headers=headers, compression=None, max_queue=None
    ) as socket:
        connected = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
        assert connected["messageType"] == "connected"
        yield Client(socket, connected)


def spoken(frames: list[Frame], reply_id: str) -> str:
    """What a client has shown of a reply: its deltas, begun anew at each `runStarted`."""
    text = ""
    for frame in frames:
        if frame.get("replyId") != reply_id:
            continue
        if frame["messageType"] == "runStarted":
            text = ""
        elif frame["messageType"] == "assistantDelta":
            assert frame["at"] == len(text)
            text += frame["text"]
    return text
