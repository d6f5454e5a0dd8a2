"""Everything replaceable, as small Protocols. A docstring here is a promise, and the contract suites hold every
backend to it.

Any method that reaches a backend may raise `Unavailable`: then nothing is known of its effect, and asking again is
safe.
"""

from __future__ import annotations

from server.ports.assistants import (
    Catalog,
    Engine,
    Painter,
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
    Members,
    Nodes,
    Pusher,
    Registry,
    Ring,
    Verifier,
)
from server.ports.files import Files, Redraw, ServedFiles
from server.ports.office import (
    Aliases,
    DeadLetters,
    Directory,
    Notes,
    SignOuts,
    Versions,
)
from server.ports.phones import (
    Accounts,
    Album,
    Claims,
    OptOuts,
    Outbox,
    Receipts,
    Sender,
)

__all__ = [
    "Accounts",
    "Album",
    "Aliases",
    "Bell",
    "Catalog",
    "Claims",
    "Connections",
    "Conversations",
    "DeadLetters",
    "Delivery",
    "Directory",
    "Engine",
    "Files",
    "Leases",
    "Log",
    "Members",
    "Nodes",
    "Notes",
    "OptOuts",
    "Outbox",
    "Painter",
    "Pusher",
    "Receipts",
    "Redraw",
    "Registry",
    "Ring",
    "Runs",
    "Sender",
    "ServedFiles",
    "SignOuts",
    "Toolbox",
    "Verifier",
    "Versions",
]
