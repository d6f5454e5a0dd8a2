"""Twilio's REST API for messages as a real HTTP server on loopback, and Twilio's webhooks, signed by its own library.

In a test, on the test's own loop::

    async with twilio_server() as fake:
        fake.faults.append(Fault.LOST)          # of the next message: it is taken, and nobody says so
        await fake.text(url, "hello")           # somebody writes to us
        await fake.sent(1)                      # until so many messages were taken
"""

from __future__ import annotations

from tests.fakes.twilio_server.fake import ACCOUNT, OURS, PERSON, TOKEN, FakeTwilio, Message, inbound, signed
from tests.fakes.twilio_server.faults import Fault
from tests.fakes.twilio_server.server import twilio_server

__all__ = ["ACCOUNT", "OURS", "PERSON", "TOKEN", "FakeTwilio", "Fault", "Message", "inbound", "signed", "twilio_server"]
