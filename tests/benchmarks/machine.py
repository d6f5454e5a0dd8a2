"""Where the programs run, and what they use of it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped,unused-ignore]

CLOCK_OF_A_PROCESS = 2
LINUX = platform.system() == "Linux"


@dataclass(frozen=True, slots=True)
class Cores:
    """Core numbers. Both empty where nothing can be pinned."""

    server: frozenset[int]
    others: frozenset[int]

    def __str__(self) -> str:
        if not self.server:
            return "nothing is pinned (one core, or a system without affinity): expect noise"
        return f"server on core {min(self.server)}, client and upstream on core {min(self.others)}"


def cores() -> Cores:
    if not hasattr(os, "sched_getaffinity"):
        return Cores(frozenset(), frozenset())
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        return Cores(frozenset(), frozenset())
    return Cores(frozenset(usable[:1]), frozenset(usable[1:2]))


@contextmanager
def pinned(chosen: frozenset[int]) -> Iterator[None]:
    """This thread, and the processes that it starts meanwhile. Without cores nothing is changed."""
    if not chosen:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads, ended ones too."""
    if LINUX:
        # What clock_getcpuclockid(3) makes of a pid: nanoseconds, where /proc counts in hundredths of a second.
        return time.clock_gettime((~pid << 3) | CLOCK_OF_A_PROCESS)
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def resident_bytes(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def allow_many_sockets() -> None:
    """For this process and those that it starts."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if most == resource.RLIM_INFINITY else most
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
