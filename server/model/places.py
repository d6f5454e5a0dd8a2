"""Where sockets are when there are many processes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """One socket of a person. `node`: the URL at which other processes reach the one that holds it."""

    person: str
    connection_id: str
    node: str
