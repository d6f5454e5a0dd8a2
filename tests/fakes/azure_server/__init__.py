"""Azure around our server: the SMS service that sends its texts, and Event Grid that delivers events to it.

    async with azure_server() as azure:
        settings = {"AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING": azure.connection_string, ...}
        grid = EventGrid(server.http, secret="...")
        await grid.deliver(grid.text("+15005550006", "hello"))
        [sent] = azure.sent

Both do what the services are documented to do, faults included; what they were told to do wrong is in their scripts.
"""

from __future__ import annotations

from tests.fakes.azure_server.event_grid import OURS, EventGrid, Json
from tests.fakes.azure_server.identity import FakeIdentity, certified, identity_server
from tests.fakes.azure_server.sms import KEY, FakeAzure, Fault, Sent, azure_server

__all__ = [
    "KEY",
    "OURS",
    "EventGrid",
    "FakeAzure",
    "FakeIdentity",
    "Fault",
    "Json",
    "Sent",
    "azure_server",
    "certified",
    "identity_server",
]
