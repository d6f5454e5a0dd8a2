"""One kind of calls to one other process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from server.errors import Unavailable
from server.metrics import Metrics

ALONE_SECONDS = 3.0
# Nobody listens: that costs no time-out, and one that is being restarted is soon there again.
AWAY_SECONDS = 0.5
REFUSED = {401, 403}


class Line:
    """After a call that failed, nobody calls for a while, `alone` seconds if it had been taken: a process that is dead
    costs one time-out at a time.
    """

    def __init__(self, url: str, metrics: Metrics, *, alone: float = ALONE_SECONDS) -> None:
        self._url = url
        self._metrics = metrics
        self._alone = alone
        self._rests_until = float("-inf")

    def rests(self) -> float:
        """For how many seconds still."""
        return max(0.0, self._rests_until - time.monotonic())

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Raises `Unavailable` for whatever goes wrong."""
        try:
            yield
        except Exception as error:
            # Any: on uvloop, anyio asks a connection that is reset as it is made for its address, and it has none.
            self._metrics.peer_failures.inc()
            is_away = isinstance(error, httpx2.ConnectError)
            self._rests_until = time.monotonic() + (AWAY_SECONDS if is_away else self._alone)
            raise Unavailable(f"{self._url} {fault(error)}") from error


def fault(error: Exception) -> str:
    if isinstance(error, httpx2.HTTPStatusError) and error.response.status_code in REFUSED:
        return "refuses us: its CLUSTER_SECRET is another"
    return f"does not answer ({type(error).__name__})"
