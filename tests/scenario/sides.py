"""Providers of texts, each on both its sides: how it delivers what phones say, and what it was asked to send."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx2

from server.model import text_id
from tests.fakes import azure_server, twilio_server
from tests.fakes.azure_server import EventGrid, FakeAzure
from tests.fakes.azure_server.event_grid import PATH
from tests.fakes.twilio_server import ACCOUNT, FakeTwilio, inbound, signed
from tests.scenario.phones import PUBLIC, TEXTS, twilio_settings
from tests.scenario.postbag import Taken
from tests.scenario.texting import SECRET, azure_settings

# What the provider takes for a message.
SEND_SECONDS = 0.2
# Of messages to send.
FAULTY = 0.1


@dataclass(frozen=True, slots=True)
class Letter:
    """A text on its way to the server. `log_id`: the message id that it has in a log; `content` is the provider's."""

    number: str
    body: str
    log_id: str
    content: Any


class Side(Protocol):
    """`batches`: whether several letters may be delivered at once."""

    batches: bool

    def settings(self) -> Mapping[str, object]: ...

    def letter(self, number: str, body: str) -> Letter: ...

    def again(self, letter: Letter) -> Letter:
        """The same, as it may come another time under another name."""
        ...

    async def post(self, http: httpx2.AsyncClient, letters: Sequence[Letter]) -> int:
        """Once; the status. Raises what the transport does."""
        ...

    def turn_foul(self, dice: random.Random) -> None:
        """From now on messages take their time, and some of them fail."""
        ...

    def taken(self) -> Sequence[Taken]:
        """Messages to phones, in their order."""
        ...

    def is_sending(self) -> bool: ...


class TwilioSide:
    batches = False
    faults = tuple(
        twilio_server.Fault[name]
        for name in ("LOST", "TAKEN_500", "NO_JSON", "HANG", "BUSY", "UNAVAILABLE", "RESET", "INTERNAL")
    )

    def __init__(self, fake: FakeTwilio) -> None:
        self._fake = fake

    def settings(self) -> Mapping[str, object]:
        return {**twilio_settings(self._fake), "TWILIO_SETTLE_SECONDS": 1}

    def letter(self, number: str, body: str) -> Letter:
        fields = inbound(body, From=number)
        log_id = text_id("twilio", ACCOUNT, fields["MessageSid"])
        return Letter(number, body, log_id, (fields, signed(PUBLIC + TEXTS, fields)))

    def again(self, letter: Letter) -> Letter:
        fields, _ = letter.content
        return replace(letter, content=(fields, signed(PUBLIC + TEXTS, fields)))

    async def post(self, http: httpx2.AsyncClient, letters: Sequence[Letter]) -> int:
        [letter] = letters
        fields, headers = letter.content
        return (await http.post(TEXTS, content=urlencode(fields), headers=headers)).status_code

    def turn_foul(self, dice: random.Random) -> None:
        self._fake.weather = lambda: dice.choice(self.faults) if dice.random() < FAULTY else None
        self._fake.seconds = SEND_SECONDS

    def taken(self) -> Sequence[Taken]:
        return [
            Taken(message.sid, message.of("To"), message.body, message.created_at.timestamp())
            for message in self._fake.messages
        ]

    def is_sending(self) -> bool:
        return self._fake.under_way > 0


class AzureSide:
    batches = True
    faults = tuple(
        azure_server.Fault[name]
        for name in ("RESET_BEFORE", "RESET_AFTER", "BUSY", "BROKEN", "BROKEN_AFTER", "NO_JSON")
    )

    def __init__(self, fake: FakeAzure) -> None:
        self._fake = fake
        self._grid = EventGrid("", SECRET)

    def settings(self) -> Mapping[str, object]:
        return {**azure_settings(self._fake), "AZURE_SMS_ASSISTANT_ID": "assistant"}

    def letter(self, number: str, body: str) -> Letter:
        event = self._grid.text(number, body)
        return Letter(number, body, text_id("azure_sms", event["data"]["messageId"]), event)

    def again(self, letter: Letter) -> Letter:
        return replace(letter, content={**letter.content, "id": str(uuid.uuid4())})

    async def post(self, http: httpx2.AsyncClient, letters: Sequence[Letter]) -> int:
        headers = {"content-type": "application/json", "x-eventgrid-secret": SECRET}
        content = json.dumps([letter.content for letter in letters])
        return (await http.post(PATH, content=content, headers=headers)).status_code

    def turn_foul(self, dice: random.Random) -> None:
        self._fake.weather = lambda: dice.choice(self.faults) if dice.random() < FAULTY else None
        self._fake.seconds = SEND_SECONDS

    def taken(self) -> Sequence[Taken]:
        return [Taken(sent.message_id, sent.to, sent.text, sent.at) for sent in self._fake.sent]

    def is_sending(self) -> bool:
        return self._fake.under_way > 0
