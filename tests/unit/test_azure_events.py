"""What Event Grid delivers becomes values, or is named as what cannot be read; never an error."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.channels.azure_sms import Event, Handshake, Ignored, Received, Reported, Spoiled, read_delivery
from server.errors import BadInput
from server.model import Text, text_id
from tests.fakes.azure_server import OURS, EventGrid
from tests.fakes.azure_server.event_grid import Schema

ANNA = "+15005550006"
GRID = EventGrid("http://here", number=OURS)
SCHEMAS: tuple[Schema, ...] = ("event_grid", "cloud_events")


def read(*events: Any) -> list[Event]:
    return list(read_delivery({}, json.dumps(events).encode()))


def text(**changes: Any) -> dict[str, Any]:
    event = GRID.text(ANNA, "hi", event_id="e1", message_id="m1")
    changes = {"receivedTimestamp": RECEIVED, **changes}
    event["data"] = {name: value for name, value in {**event["data"], **changes}.items() if value is not ...}
    return event


RECEIVED, RECEIVED_AT = "2020-09-18T00:27:45.3299999Z", 1_600_388_865_329
EXPECTED = Received(
    OURS,
    Text("azure_sms", ANNA, text_id("azure_sms", "m1"), "hi", (text_id("azure_sms", "e1"),), said_at=RECEIVED_AT),
)


def said_at(event: dict[str, Any]) -> int | None:
    [received] = read(event)
    assert isinstance(received, Received)
    return received.text.said_at


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_text_is_read_in_either_schema_alone_and_in_a_batch(schema: Schema) -> None:
    event = EventGrid("http://here", schema=schema).text(ANNA, "hi", event_id="e1", message_id="m1")
    event["data"]["receivedTimestamp"] = RECEIVED
    assert list(read_delivery({}, json.dumps(event).encode())) == [EXPECTED]
    assert read(event, event) == [EXPECTED, EXPECTED]


def test_a_cloud_event_in_binary_mode_has_its_envelope_in_headers() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "e1", "ce-type": "Microsoft.Communication.SMSReceived"}
    assert list(read_delivery(headers, json.dumps(text()["data"]).encode())) == [EXPECTED]
    assert isinstance(read_delivery(headers, b"[")[0], Spoiled)


@pytest.mark.parametrize(("schema", "name"), [("event_grid", "eventTime"), ("cloud_events", "time")])
@pytest.mark.parametrize("received", [..., None, 5, "", "yesterday", "2020-13-01T00:00:00Z", {}])
def test_a_text_that_does_not_say_when_it_was_received_is_as_old_as_its_event(
    schema: Schema, name: str, received: object
) -> None:
    event = EventGrid("http://here", schema=schema).text(ANNA, "hi") | {name: "2020-09-18T02:27:45+02:00"}
    event["data"] = text(receivedTimestamp=received)["data"]
    assert said_at(event) == 1_600_388_865_000
    for told in ("2020-09-18T00:27:45", "soon", 5, None):
        assert said_at(event | {name: told}) == (1_600_388_865_000 if told == "2020-09-18T00:27:45" else None)


def test_the_time_of_an_event_in_binary_mode_is_in_a_header() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "e1", "ce-type": "Microsoft.Communication.SMSReceived"}
    body = json.dumps(text(receivedTimestamp=...)["data"]).encode()
    [received] = read_delivery(headers | {"ce-time": "2020-09-18T00%3A27%3A45Z"}, body)
    assert isinstance(received, Received)
    assert received.text.said_at == 1_600_388_865_000


def test_names_of_fields_are_read_in_either_case() -> None:
    event = text()
    event["data"] = {name[0].upper() + name[1:]: value for name, value in event["data"].items()}
    assert read(event) == [EXPECTED]


def test_numbers_are_read_with_and_without_their_plus() -> None:
    for sender in (ANNA, ANNA[1:]):
        assert read(text(**{"from": sender})) == [EXPECTED]


@pytest.mark.parametrize(
    ("status", "details", "expected"),
    [
        ("Delivered", "No error.", ("delivered", None)),
        ("Failed", "No such number!", ("failed", "no_such_number")),
        ("Failed", "The recipient has opted out.", ("failed", "opted_out")),
        ("Failed", "", ("failed", None)),
        ("Failed", "x" * 200, ("failed", "x" * 64)),
    ],
)
def test_a_delivery_report_is_read(status: str, details: str, expected: tuple[str, str | None]) -> None:
    report = GRID.report("Outgoing_1", ANNA, status, details)
    report["data"]["receivedTimestamp"] = RECEIVED
    assert read(report) == [Reported(ANNA, "Outgoing_1", *expected, RECEIVED_AT)]  # type: ignore[arg-type]


def test_a_handshake_is_read_and_its_url_is_nothing_to_us() -> None:
    assert read(GRID.validation("code-1", "http://169.254.169.254/")) == [Handshake("code-1")]


def test_what_is_nothing_to_us_is_ignored() -> None:
    assert read(GRID.event("Microsoft.Storage.BlobCreated", {})) == [Ignored("Microsoft.Storage.BlobCreated")]
    assert read(GRID.report("m", ANNA, "Pondered")) == [
        Ignored("Microsoft.Communication.SMSDeliveryReportReceived Pondered")
    ]


def test_an_empty_list_holds_nothing() -> None:
    assert read() == []


SPOILED: dict[str, Any] = {
    "a number": 5,
    "nothing": None,
    "a list": [],
    "an empty object": {},
    "an id that is a number": {**text(), "id": 5},
    "a type that is none": {**text(), "eventType": ["x"]},
    "CloudEvents of another version": {**text(), "specversion": "0.3", "type": "Microsoft.Communication.SMSReceived"},
    "no data": {**text(), "data": None},
    "data that is a text": {**text(), "data": "hi"},
    "no message": text(message=...),
    "a message that is a number": text(message=5),
    "no sender": text(**{"from": ...}),
    "a sender with a name": text(**{"from": "ACME"}),
    "a sender with many digits": text(**{"from": "1" * 16}),
    "a sender of nulls": text(**{"from": "+0000000"}),
    "a sender in another script": text(**{"from": "+١٥٠٠٥٥٥٠٠٠٦"}),
    "a sender with a line break": text(**{"from": f"{ANNA}\n"}),
    "no receiver": text(to=...),
    "a messageId that is a number": text(messageId=5),
    "a messageId that is long": text(messageId="x" * 257),
    "a messageId with a NUL": text(messageId="a\0"),
    "no id at all": {**text(messageId=...), "id": ""},
    "a handshake without a code": {**GRID.validation(), "data": {}},
    "a handshake with a long code": GRID.validation("x" * 257),
    "a report without a status": {**GRID.report("m", ANNA), "data": {"messageId": "m", "to": ANNA}},
    "a report of no message": GRID.report("", ANNA),
    "a report of a long messageId": GRID.report("x" * 129, ANNA),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_cannot_be_read_is_named_and_the_others_are_kept(name: str) -> None:
    first, spoiled, last = read(text(), SPOILED[name], text())
    assert (first, last) == (EXPECTED, EXPECTED)
    assert isinstance(spoiled, Spoiled)


@pytest.mark.parametrize("body", [b"", b"{", b"[1,", b"\xff\xfe", b"[" * 200_000, b'{"data":' * 100_000, b"<html>"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        read_delivery({}, body)


def test_data_that_is_nested_without_end_is_spoiled() -> None:
    deep = (
        b'[{"id":"e","eventType":"Microsoft.Communication.SMSReceived","data":{"x":' + b"[" * 900 + b"]" * 900 + b"}}]"
    )
    [event] = read_delivery({}, deep)
    assert isinstance(event, Spoiled)


@given(st.binary(max_size=300))
def test_no_bytes_upset_it(body: bytes) -> None:
    with suppress(BadInput):
        read_delivery({}, body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.sampled_from(["messageId", "from", "to", "message"]), JSON, st.sampled_from(["id", "data", "eventType"]), JSON
)
def test_no_values_upset_it(field: str, value: object, outer: str, another: object) -> None:
    event = text(**{field: value})
    read(event, {**event, outer: another})


def test_more_events_than_event_grid_sends_are_refused_unread() -> None:
    assert len(read_delivery({}, b"[" + b"1," * 4_999 + b"1]")) == 5_000
    with pytest.raises(BadInput) as refused:
        read_delivery({}, b"[" + b"1," * 5_000 + b"1]")
    assert refused.value.code == "too_many_events"
