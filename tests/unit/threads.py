"""What happened at a double of the Assistants protocol."""

from __future__ import annotations

from typing import Any

from tests.engines import Bench, thread_of

ABC = ("a", " b", " c")


def asked(bench: Bench, method: str, end: str) -> list[Any]:
    """The bodies of the requests so far whose path ends so."""
    return [one.body for one in bench.requests if one.method == method and one.path.endswith(end)]


def in_thread(bench: Bench, thread: str | None) -> list[str]:
    found = bench.fake.kept.threads[thread or ""]
    found.settle()
    return [f"{one['role']}: {one['content'][0]['text']['value']}" for one in found.messages]


async def talked(bench: Bench) -> str:
    """A thread with a question and its reply."""
    events = await bench.run(bench.prompt("first?", "c1-0"))
    return thread_of(events) or ""
