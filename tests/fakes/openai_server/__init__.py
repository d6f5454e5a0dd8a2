"""OpenAI's Responses API as a real HTTP server on loopback, which does what a test tells it to.

In a test, on the test's own loop::

    async with openai_server(Answer(fault=Fault.RESET, at=2)) as fake:
        client = AsyncOpenAI(base_url=fake.base_url, api_key="any")

As a process, for everything else: ``python -m tests.fakes.openai_server --help``.

The way of an answer: `script` chooses it, `plan` says it in steps with the events of `events`, `validation` looks at
them, `encoding` makes bytes of them, `wire` plays them out.
"""

from __future__ import annotations

from tests.fakes.openai_server.fake import MODELS, FakeOpenAI, Recorded
from tests.fakes.openai_server.faults import Fault
from tests.fakes.openai_server.runs import Run
from tests.fakes.openai_server.script import Answer, Call, Choose, words
from tests.fakes.openai_server.server import openai_server
from tests.fakes.openai_server.validation import Violation, description_path

__all__ = [
    "MODELS",
    "Answer",
    "Call",
    "Choose",
    "FakeOpenAI",
    "Fault",
    "Recorded",
    "Run",
    "Violation",
    "description_path",
    "openai_server",
    "words",
]
