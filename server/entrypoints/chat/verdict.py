"""After a connection has failed: whether to come back, and when. No I/O."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import msgspec

FIRST_DELAY = 0.5
LONGEST_DELAY = 8.0
LONGEST_HINT = 60.0
FINAL_CODES = {1008: "it does not want this connection", 1009: "what it was sent is too big"}
FINAL_RANGE = range(4500, 4600)
FINAL_STATUSES = frozenset({400, 401, 403, 404, 405, 426})


class Again(NamedTuple):
    """Worth another try; after so many seconds, if the server said. `absent`: nobody was there."""

    why: str
    after: float | None = None
    absent: bool = False


class Stop(NamedTuple):
    why: str


Verdict: TypeAlias = Again | Stop


class Problem(msgspec.Struct):
    """Of an HTTP answer that is no success: what its body has under `error`."""

    code: str = ""
    message: str = ""


def delays() -> Iterator[float]:
    """Seconds until the next try: doubling, half of them at random."""
    delay = FIRST_DELAY
    while True:
        yield delay * random.uniform(0.5, 1)  # noqa: S311
        delay = min(2 * delay, LONGEST_DELAY)


def after_close(code: int | None, reason: str | None) -> Verdict:
    if code in FINAL_CODES or code in FINAL_RANGE:
        why = reason or FINAL_CODES.get(code or 0, "for good")
        return Stop(f"The server closed the connection: {why} ({code}).")
    return Again("The connection is lost.")


def after_refusal(status: int, body: bytes, retry_after: str | None, *, renewable: bool) -> Verdict:
    """An HTTP answer in place of a socket."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, Problem])["error"]
    except (msgspec.MsgspecError, KeyError):
        problem = Problem()
    why = problem.message.rstrip(".") or "no reason given"
    if problem.code == "expired_token" and not renewable:
        return Stop("The token has expired; get a new one.")
    if problem.code == "bad_token" and renewable:
        return Stop("The server does not know this token: it works on another DATA_DIR, or with another user pool.")
    if status in FINAL_STATUSES:
        return Stop(f"The server refuses: {why} (HTTP {status}).")
    hint = min(float(retry_after), LONGEST_HINT) if retry_after and retry_after.isdecimal() else None
    return Again(f"The server does not take us in yet: {why} (HTTP {status}).", hint)
