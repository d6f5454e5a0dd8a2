"""Everything replaceable, as small Protocols. A docstring here is a promise, and the contract suites hold every
backend to it.

Any method that reaches a backend may raise `Unavailable`: then nothing is known of its effect, and asking again is
safe.
"""

from __future__ import annotations

from server.ports.assistants import (
    Catalog,
    Engine,
    Toolbox,
)
from server.ports.conversations import (
    Conversations,
    Leases,
    Log,
    Runs,
)
from server.ports.delivery import (
    Bell,
    Connections,
    Delivery,
    Nodes,
    Pusher,
    Registry,
    Ring,
    Verifier,
)
from server.ports.office import (
    Aliases,
    DeadLetters,
    Notes,
    SignOuts,
    Versions,
)

__all__ = [
    "Aliases",
    "Bell",
    "Catalog",
    "Connections",
    "Conversations",
    "DeadLetters",
    "Delivery",
    "Engine",
    "Leases",
    "Log",
    "Nodes",
    "Notes",
    "Pusher",
    "Registry",
    "Ring",
    "Runs",
    "SignOuts",
    "Toolbox",
    "Verifier",
    "Versions",
]
