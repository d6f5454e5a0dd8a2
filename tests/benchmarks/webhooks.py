"""What is measured of texts that a provider posts: signed by its own library, durable before they are acknowledged."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter
from urllib.parse import urlencode

from tests.benchmarks.doors import Rate
from tests.benchmarks.programs import Program
from tests.fakes.twilio_server import FakeTwilio, inbound, signed
from tests.scenario.phones import PUBLIC, TEXTS, twilio_settings

NUMBERS = itertools.count(1_000_000)
TAKEN = b"HTTP/1.1 200 "
END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length: "
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """`p99` is in milliseconds, of all from the request's first byte to the answer's last."""

    rate: Rate
    p99: float


def settings_for(twilio: FakeTwilio, *, limited: bool) -> dict[str, object]:
    """Without a pause: each text has its turn at once, while the next ones come. `limited`: as a server is usually."""
    limits = {} if limited else {"TEXTS_PER_MINUTE": 0, "TEXTS_PER_DAY": 0}
    return {**twilio_settings(twilio), **limits, "TEXT_PAUSE_SECONDS": 0}


async def acknowledgements(
    program: Program, people: int, each: int, *, answered_by: FakeTwilio | None = None
) -> Acknowledged:
    """Everybody has a connection, and posts the next text once the last was acknowledged.

    `answered_by`: who is then waited for, unmeasured, until everybody has an answer.
    """
    numbers = [f"+49170{next(NUMBERS)}" for _ in range(people)]
    requests = [[request(number, index) for index in range(each)] for number in numbers]
    began, before = perf_counter(), program.process.cpu_seconds()
    taken = await asyncio.gather(*(posted(program.process.port, theirs) for theirs in requests))
    seconds, cpu = perf_counter() - began, program.process.cpu_seconds() - before
    if answered_by is not None:
        await all_answered(answered_by, set(numbers))
    times = sorted(itertools.chain(*taken))
    return Acknowledged(Rate(len(times) / seconds, len(times) / cpu), times[len(times) * 99 // 100] * 1000)


def request(number: str, index: int) -> bytes:
    fields = inbound(f"Tell me something, please: {index}", From=number)
    body = urlencode(fields).encode()
    headers = {"host": "chat.example.com", **signed(PUBLIC + TEXTS, fields), "content-length": len(body)}
    lines = [f"POST {TEXTS} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + END_OF_HEAD + body


async def posted(port: int, requests: Sequence[bytes]) -> list[float]:
    """Seconds, of each. Raises `ConnectionError` for what is not taken."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        return [await seconds_of(one, reader, writer) for one in requests]


async def seconds_of(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
    began = perf_counter()
    writer.write(request)
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(END_OF_HEAD)
        if not head.startswith(TAKEN):
            raise ConnectionError(head.decode("latin-1"))
        await reader.readexactly(int(head.lower().partition(LENGTH)[2].partition(b"\r\n")[0]))
    return perf_counter() - began


async def all_answered(twilio: FakeTwilio, numbers: set[str]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not numbers <= {message.of("To") for message in twilio.messages}:
            await asyncio.sleep(0.05)
