"""SMS through Azure Communication Services.

events       what Event Grid delivers, parsed: Event Grid's own schema, and CloudEvents
sender       messages out, each of them once
repeats      a text that is asked for again is sent once
faults       what the SDK's errors mean
pretend      Azure's side of the wire, to try a server without an account
"""

from __future__ import annotations

from server.channels.azure_sms.events import (
    NAME,
    Event,
    Handshake,
    Ignored,
    Received,
    Reported,
    Spoiled,
    is_batch,
    read_delivery,
)

__all__ = [
    "NAME",
    "Event",
    "Handshake",
    "Ignored",
    "Received",
    "Reported",
    "Spoiled",
    "is_batch",
    "read_delivery",
]
