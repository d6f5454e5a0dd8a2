"""A thread of the Assistants API: its messages, and its runs, which answer into it as time passes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from tests.fakes.openai_server.events import ERRORS
from tests.fakes.openai_server.objects import Json
from tests.fakes.openai_server.outputs import Message, calls, output, pieces
from tests.fakes.openai_server.runs import ACTIVE, Run
from tests.fakes.openai_server.script import Answer
from tests.fakes.openai_server.thread_objects import (
    MESSAGE_INCOMPLETE,
    message_object,
    required_action,
    run_object,
    run_usage,
    text_of,
)

_SPEAKING = frozenset({"requires_action", "completed", "incomplete"})


@dataclass(slots=True)
class ThreadRun:
    """`body`: as it was asked for, with what the assistant adds. `exchanged`: the calls so far, and their outputs."""

    run: Run
    thread_id: str
    body: Json
    exchanged: list[Json] = field(default_factory=list)
    _spoken: bool = False
    _ended: int | None = None

    @property
    def wanted(self) -> list[str]:
        """The ids of the calls that want their outputs."""
        return [call.call_id for call in calls(self.run.items)]

    def settle(self) -> Json | None:
        """The message that has become due, once."""
        status = self.run.status
        if self._spoken or status not in _SPEAKING:
            return None
        self._spoken = True
        return self._reply()

    def go_on(self, answer: Answer, question: str, exchanged: Sequence[Json]) -> None:
        self.exchanged.extend(exchanged)
        self.run.go_on(answer, output(answer, question, uuid4().hex))
        self._spoken = False

    def shown(self, status: str | None = None) -> Json:
        """`status`: to be shown in place of its own."""
        run, status = self.run, status or self.run.status
        if status not in ACTIVE and self._ended is None:
            self._ended = int(time.time())
        created = int(run.created)
        times = {"created_at": created, "expires_at": created + int(run.answer.expires_after), "ended_at": self._ended}
        ids = {"id": run.id, "thread_id": self.thread_id}
        body = {**self.body, "metadata": run.metadata}
        return run_object(body, ids, run.answer.fault, status, times) | self._of_status(status)

    def _of_status(self, status: str) -> Json:
        match status:
            case "requires_action":
                return {"required_action": required_action(calls(self.run.items))}
            case "failed":
                return {"last_error": ERRORS[self.run.answer.fault]}
            case "completed" | "incomplete":
                return {"usage": run_usage(self.body, pieces(self.run.items))}
        return {}

    def _reply(self) -> Json | None:
        said = next((item for item in self.run.items if isinstance(item, Message) and item.pieces), None)
        if said is None:
            return None
        text = "".join(said.pieces)
        part = {"type": "refusal", "refusal": text} if said.refusing else {"type": "text", "text": text}
        reason = MESSAGE_INCOMPLETE.get(self.run.answer.fault)
        by = {"run_id": self.run.id, "assistant_id": self.body["assistant_id"]}
        body = {**by, "role": "assistant", "content": [part], "incomplete_details": reason and {"reason": reason}}
        return message_object(body, said.id, self.thread_id, int(time.time()))


@dataclass(slots=True)
class Thread:
    """`shown`: the object that tells of it."""

    shown: Json
    messages: list[Json] = field(default_factory=list)
    runs: dict[str, ThreadRun] = field(default_factory=dict)

    @property
    def id(self) -> str:
        found: str = self.shown["id"]
        return found

    def busy_with(self) -> str | None:
        """The id of the active run; if there is none, all that was said is in the messages."""
        active = next((one.run.id for one in self.runs.values() if one.run.active), None)
        if active is None:
            self.settle()
        return active

    def settle(self) -> None:
        """What its runs have said by now is in its messages. To be called before each look."""
        due = [one.settle() for one in self.runs.values()]
        self.messages.extend(message for message in due if message)

    def add(self, body: Json) -> Json:
        message = message_object(body, f"msg_{uuid4().hex}", self.id, int(time.time()))
        self.messages.append(message)
        return message

    def as_input(self) -> list[Json]:
        """Its messages, as the input of a Response would have them."""
        return [{"role": message["role"], "content": text_of(message)} for message in self.messages]
