"""A device that comes and goes, and believes nothing: every frame must be the next one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import websockets

from tests.scenario.client import Frame
from tests.scenario.process import ServerProcess


@dataclass
class Device:
    """What one device has of a conversation, over all its connections."""

    server: ServerProcess
    conversation_id: str = ""
    epoch: str = ""
    offset: int = 0
    texts: dict[int, str] = field(default_factory=dict)
    replies: dict[str, str] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    deltas: int = 0

    async def connect(self) -> websockets.ClientConnection:
        """Connected, and resumed from where it was."""
        headers = {"Authorization": f"Bearer {self.server.token()}"}
        socket = await websockets.connect(
            self.server.socket(), additional_headers=headers, compression=None, max_queue=None
        )
        connected = json.loads(await socket.recv())
        self.replies.clear()
        if not self.conversation_id:
            self.conversation_id, self.epoch = connected["conversationId"], connected["epoch"]
            self.offset = connected["offset"]
        resume = {"action": "resume", "conversationId": self.conversation_id, "after": self.offset, "epoch": self.epoch}
        await socket.send(json.dumps(resume))
        while (frame := json.loads(await socket.recv()))["messageType"] != "resumed":
            # Entries are shown again by the replay, words are not.
            if frame["messageType"] in {"runStarted", "assistantSnapshot", "assistantDelta"}:
                self.see(frame)
        assert frame["recovered"] is True
        return socket

    async def take(self, socket: websockets.ClientConnection) -> Frame:
        frame: Frame = json.loads(await socket.recv())
        self.see(frame)
        return frame

    def see(self, frame: Frame) -> None:
        match frame["messageType"]:
            case "messageAccepted":
                self._next(frame["offset"], frame["text"])
            case "runStarted":
                self.replies[frame["replyId"]] = ""
            case "assistantSnapshot":
                self.replies[frame["replyId"]] = frame["text"]
            case "assistantDelta":
                assert frame["at"] == len(self.replies[frame["replyId"]])
                self.replies[frame["replyId"]] += frame["text"]
                self.deltas += 1
            case "assistantResponse":
                self._next(frame["offset"], frame["message"])
                assert self.replies.get(frame["replyId"], frame["message"]) == frame["message"]
                self.finished.add(frame["replyId"])
            case other:
                raise AssertionError(f"unexpected: {other}")

    def _next(self, offset: int, text: str) -> None:
        assert offset == self.offset + 1, f"{offset} after {self.offset}"
        self.offset = offset
        self.texts[offset] = text
