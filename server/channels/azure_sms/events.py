"""What Event Grid delivers, parsed: its own schema, or CloudEvents 1.0, structured or binary; one event or a batch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast, get_args
from urllib.parse import unquote

import msgspec

from server.errors import BadInput
from server.model import ReceiptStatus, Text, text_id

NAME = "azure_sms"

VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
SMS_RECEIVED = "Microsoft.Communication.SMSReceived"
SMS_REPORTED = "Microsoft.Communication.SMSDeliveryReportReceived"

NUMBER = re.compile(r"\+?([1-9][0-9]{2,14})")
LONGEST_WORD = 256
# As much as every store takes.
LONGEST_ID = 128
LONGEST_CODE = 64
MOST_EVENTS = 5_000
BINARY = "ce-"
STATUSES: frozenset[str] = frozenset(get_args(ReceiptStatus))


@dataclass(frozen=True, slots=True)
class Handshake:
    """Event Grid asks whether we want its events; `code` is what it wants to hear back."""

    code: str


@dataclass(frozen=True, slots=True)
class Received:
    """A text from a phone. `to`: which number of ours it was sent to, in E.164."""

    to: str
    text: Text


@dataclass(frozen=True, slots=True)
class Reported:
    """What became of a text that we sent. `at`: when, in ms since 1970, if that is told."""

    number: str
    message_id: str
    status: ReceiptStatus
    code: str | None
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event of a type that is nothing to us."""

    type: str


@dataclass(frozen=True, slots=True)
class Spoiled:
    """An event that cannot be read; `why` is for the people who look after the subscription."""

    why: str


Event: TypeAlias = Handshake | Received | Reported | Ignored | Spoiled


class Envelope(msgspec.Struct, rename="camel"):
    """Both schemas': `event_type` and `event_time` are Event Grid's, `type`, `specversion` and `time` CloudEvents'."""

    id: str = ""
    event_type: str = ""
    event_time: Any = None
    type: str = ""
    specversion: str | None = None
    time: Any = None
    data: msgspec.Raw = msgspec.Raw(b"null")


envelopes = msgspec.json.Decoder(Envelope)


def read_delivery(headers: Mapping[str, str], body: bytes) -> Sequence[Event]:
    """In their order. Names of headers are in lower case. Raises `BadInput` for what is no delivery at all."""
    if BINARY + "specversion" in headers:
        return [read_event(binary(headers, body))]
    try:
        delivered: Any = msgspec.json.decode(body, type=msgspec.Raw)
        many = bytes(delivered).lstrip().startswith(b"[")
        found = msgspec.json.decode(delivered, type=list[msgspec.Raw]) if many else [delivered]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise BadInput(
            "The body is no JSON; Event Grid sends an event, or a list of events.", code="bad_json"
        ) from None
    if len(found) > MOST_EVENTS:
        raise BadInput(
            f"These are {len(found)} events; Event Grid sends {MOST_EVENTS} at most.", code="too_many_events"
        )
    return [read_event(one) for one in found]


def is_batch(headers: Mapping[str, str], body: bytes) -> bool:
    return BINARY + "specversion" not in headers and body.lstrip().startswith(b"[")


def binary(headers: Mapping[str, str], body: bytes) -> Envelope:
    """An event whose envelope is in the headers."""
    words = {name: unquote(headers.get(BINARY + name, "")) for name in ("id", "type", "specversion", "time")}
    return Envelope(**words, data=msgspec.Raw(body))


def read_event(event: msgspec.Raw | Envelope) -> Event:
    try:
        envelope = event if isinstance(event, Envelope) else envelopes.decode(event)
        return opened(envelope)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Spoiled("it is no event of Event Grid's schema nor of CloudEvents 1.0")
    except ValueError as error:
        return Spoiled(str(error))


def opened(envelope: Envelope) -> Event:
    """Raises ValueError that says what is wrong with its data."""
    if envelope.specversion not in {None, "1.0"}:
        raise ValueError("its specversion is not 1.0")
    kind = envelope.event_type if envelope.specversion is None else envelope.type
    match kind.casefold():
        case "":
            raise ValueError("it has no type")
        case known if known == VALIDATION.casefold():
            return Handshake(word(data_of(envelope), "validationcode"))
        case known if known == SMS_RECEIVED.casefold():
            return received(envelope, data_of(envelope))
        case known if known == SMS_REPORTED.casefold():
            return reported(envelope, data_of(envelope))
        case _:
            return Ignored(kind[:LONGEST_WORD])


def data_of(envelope: Envelope) -> Mapping[str, Any]:
    """Names in lower case: the service has written them in either case."""
    data = msgspec.json.decode(envelope.data)
    if not isinstance(data, dict):
        raise ValueError("its data is no object")  # noqa: TRY004  the type of what was sent, not of an argument
    return {name.lower(): value for name, value in data.items()}


def received(envelope: Envelope, data: Mapping[str, Any]) -> Received:
    text = data.get("message")
    if not isinstance(text, str):
        raise ValueError("its data has no message")  # noqa: TRY004
    # The text's own id first, for its event may be published anew. It may come again as either.
    ids = dict.fromkeys(one for one in (word(data, "messageid", needed=False), envelope.id) if one)
    if not ids:
        raise ValueError("it has neither an id nor a messageId")
    message_id, *aliases = (text_id(NAME, one) for one in ids)
    sender, said_at = number(data, "from"), moment(envelope, data)
    return Received(number(data, "to"), Text(NAME, sender, message_id, text, tuple(aliases), said_at=said_at))


def reported(envelope: Envelope, data: Mapping[str, Any]) -> Reported | Ignored:
    status, details = word(data, "deliverystatus"), word(data, "deliverystatusdetails", needed=False)
    if status.lower() not in STATUSES:
        return Ignored(f"{SMS_REPORTED} {status}")
    known = cast(ReceiptStatus, status.lower())
    code = code_of(details) if known in {"failed", "undelivered"} else None
    message_id = word(data, "messageid", most=LONGEST_ID)
    return Reported(number(data, "to"), message_id, known, code, moment(envelope, data))


def moment(envelope: Envelope, data: Mapping[str, Any]) -> int | None:
    """When the service heard of it, else when it told Event Grid, in ms since 1970. What is no time is none."""
    told = (data.get("receivedtimestamp"), envelope.event_time, envelope.time)
    return next((at for one in told if (at := milliseconds(one)) is not None), None)


def milliseconds(told: object) -> int | None:
    try:
        at = datetime.fromisoformat(told) if isinstance(told, str) else None
    except ValueError:
        return None
    return None if at is None else int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def code_of(details: str) -> str | None:
    """A stable word for the service's sentence. What a person said to it themselves has a name of its own."""
    if said_no(details):
        return "opted_out"
    return re.sub(r"[^a-z0-9]+", "_", details.lower()).strip("_")[:LONGEST_CODE] or None


def said_no(sentence: str) -> bool:
    return re.search(r"opt(ed)?[ _-]?out", sentence, re.IGNORECASE) is not None


def word(data: Mapping[str, Any], name: str, *, needed: bool = True, most: int = LONGEST_WORD) -> str:
    value = data.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or len(value) > most or not (value.isprintable() and (value or not needed)):
        raise ValueError(f"its data has no usable {name}")
    return value


def number(data: Mapping[str, Any], name: str) -> str:
    """E.164, which the service writes with and without its plus."""
    found = NUMBER.fullmatch(word(data, name))
    if found is None:
        raise ValueError(f"its {name} is no phone number")
    return f"+{found[1]}"
