"""OpenAI's Responses API, and the Assistants API as it was, as a real HTTP server that does what a test tells it to.

In a test, on the test's own loop::

    async with openai_server(Answer(fault=Fault.RESET, at=2)) as fake:
        client = AsyncOpenAI(base_url=fake.base_url, api_key="any")

As a process, for everything else: ``python -m tests.fakes.openai_server --help``.

A run, be it a Response in the background or the run of a thread, lasts as long as its answer says, and may call::

    fake.script(
        Answer(("It", " is", " 7."), first_delay=0.1, interval=0.05, poll_faults=(Fault.OVERLOADED, None)),
        Answer(calls=(Call("get_inventory", {"sku": "x"}),)),
    )

The way of an answer: `script` chooses it, `outputs` makes items of it, `plan` says them in steps with the events of
`events`, `validation` looks at them, `encoding` makes bytes of them, `wire` plays them out. `runs` knows how far a run
is. Pictures and moderations have scripts of their own, `fake.images` and `fake.moderations`.
"""

from __future__ import annotations

from tests.fakes.openai_server.fake import MODELS, FakeOpenAI, Recorded
from tests.fakes.openai_server.faults import Fault
from tests.fakes.openai_server.runs import Run
from tests.fakes.openai_server.script import Answer, Call, Choose, Picture, Verdict, words
from tests.fakes.openai_server.server import openai_server
from tests.fakes.openai_server.validation import Violation, description_path

__all__ = [
    "MODELS",
    "Answer",
    "Call",
    "Choose",
    "FakeOpenAI",
    "Fault",
    "Picture",
    "Recorded",
    "Run",
    "Verdict",
    "Violation",
    "description_path",
    "openai_server",
    "words",
]
