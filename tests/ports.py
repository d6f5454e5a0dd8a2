"""Ports for servers that must be found where they were, or where nobody may be found."""

from __future__ import annotations

import os
import random
import socket
from itertools import islice

# Beneath those that the system gives to clients: a client that keeps trying one of these could else connect to itself.
PORTS = range(20_000, 32_000)
# Not a test's own dice: with the same seed, all that run at the same time would pick the same.
DICE = random.SystemRandom()


def quiet_port() -> int:
    return quiet_ports(1)[0]


def quiet_ports(count: int) -> list[int]:
    """Different ones, of this worker's share, on which nobody listens."""
    share = our_share()
    return list(islice(filter(is_quiet, DICE.sample(share, len(share))), count))


def our_share() -> range:
    """Workers that run at the same time share no port."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return PORTS[number :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


def is_quiet(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
