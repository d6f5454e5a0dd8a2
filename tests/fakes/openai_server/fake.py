"""What the fake was told to do, and what it saw."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.openai_server.faults import Fault
from tests.fakes.openai_server.kept import Kept
from tests.fakes.openai_server.runs import Run, Runs
from tests.fakes.openai_server.script import ECHO, Answer, Choose, Picture, Script, Verdict
from tests.fakes.openai_server.script_body import ScriptBody
from tests.fakes.openai_server.validation import Inspector, Violation

KEPT_REQUESTS = 1000
SECRET_HEADERS = frozenset({"authorization", "api-key"})

MODELS: Mapping[str, str | None] = {
    "gpt-image-2.5-flare": None,
    "gpt-6.1-sol": None,
    "gpt-6.1-terra": None,
    "gpt-4o": "2027-01-14",
}


@dataclass(slots=True)
class Recorded:
    """One request, from its arrival on. Times are seconds since 1970. The values of key headers are left empty.

    `body` is None where there was none, or none that is JSON. `ended` is None while the answer is under way;
    `client_left`: the client closed the connection before the answer's end.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    arrived: float
    status: int | None = None
    ended: float | None = None
    client_left: bool = False


class FakeOpenAI:
    """A running fake, in the hands of a test."""

    def __init__(
        self,
        inspector: Inspector,
        answers: Sequence[Answer] = (),
        normal: Answer | Choose = ECHO,
        models: Mapping[str, str | None] = MODELS,
        assistants_gone: bool = False,
        kept_requests: int = KEPT_REQUESTS,
    ) -> None:
        self.base_url = ""
        self.models = models
        self.inspector = inspector
        self.assistants_gone = assistants_gone
        self.images = Script[Picture]((), Picture())
        self.moderations = Script[Verdict]((), Verdict())
        self._answers = Script[Answer](answers, normal)
        self._gone_at_start = assistants_gone
        self.kept = Kept()
        self._runs = Runs()
        self._troubles: dict[str, deque[Fault | None]] = {}
        self._requests: deque[Recorded] = deque(maxlen=kept_requests)
        self._changed = asyncio.Event()

    @property
    def requests(self) -> list[Recorded]:
        """In the order of their arrival, the last thousand unless more are kept; those under /v1 only."""
        return list(self._requests)

    @property
    def questions(self) -> list[Recorded]:
        """Those of them that ask for a response."""
        return [one for one in self._requests if (one.method, one.path) == ("POST", "/v1/responses")]

    @property
    def runs(self) -> list[Run]:
        """Responses and runs of threads in the order of their creation, the last ten thousand."""
        return list(self._runs)

    def runs_created(self, run_id: str | None = None) -> int:
        """How many in all, or with this `metadata.run_id`; more than one means that a second was paid for."""
        return self._runs.created(run_id)

    def runs_per_run_id(self) -> dict[str, int]:
        return self._runs.per_run_id()

    @property
    def violations(self) -> list[Violation]:
        """What requests, answers and events did against OpenAI's description; empty too where there is none."""
        return list(self.inspector.violations)

    def script(self, *answers: Answer, normal: Answer | Choose | None = None) -> None:
        """From now on: these answers in turn, then the normal one (None: as it was). Forgets those still queued."""
        self._answers.script(*answers, normal=normal)

    def follow(self, script: ScriptBody) -> None:
        """All that the script of another process says."""
        self.script(*script.answers, normal=script.normal)
        self.images.script(*script.images)
        self.moderations.script(*script.moderations)
        for where, faults in script.troubles.items():
            self.trouble(where, *faults)
        if script.assistants_gone is not None:
            self.assistants_gone = script.assistants_gone

    def trouble(self, where: str, *faults: Fault | None) -> None:
        """What the next requests there get in place of an answer, whatever the script says; None: nothing is wrong.

        `where`: "GET /threads/{thread_id}/messages". For faults of HTTP, and those of before the headers.
        """
        self._troubles[where] = deque(faults)

    def trouble_at(self, where: str) -> Fault | None:
        queued = self._troubles.get(where)
        return queued.popleft() if queued else None

    def reset(self) -> None:
        """As at the start: the first script, nothing recorded."""
        for script in (self._answers, self.images, self.moderations):
            script.reset()
        self.assistants_gone = self._gone_at_start
        self._requests.clear()
        self._runs.clear()
        self._troubles.clear()
        self.kept = Kept()
        self.inspector.violations.clear()

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Returns once the condition holds; it is asked at every change of a request. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def answer(self, body: Mapping[str, Any]) -> Answer:
        """The next by the script."""
        return self._answers.answer(body)

    def begin_run(self, run: Run) -> None:
        self._runs.add(run)
        self._changed.set()

    def record(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Recorded:
        shown = {name: "" if name in SECRET_HEADERS else value for name, value in headers.items()}
        record = Recorded(method, path, shown, body, arrived=time.time())
        self._requests.append(record)
        self._changed.set()
        return record

    def begin(self, record: Recorded, status: int) -> None:
        record.status = status
        self._changed.set()

    def end(self, record: Recorded, client_left: bool) -> None:
        """Only the first end counts."""
        if record.ended is None:
            record.ended = time.time()
            record.client_left = client_left
        self._changed.set()
