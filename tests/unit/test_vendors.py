"""What a vendor's library raises that nobody foresaw: trouble that may pass, told in our words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog
from botocore.exceptions import ClientError, EndpointConnectionError

from server.backends.dynamodb.items import Key
from server.backends.dynamodb.table import Table, put
from server.backends.s3.errors import s3_errors
from server.backends.sqs.queue import Queue
from server.errors import ServerError, Unavailable

STALE = RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired.")
SECRET = "arn:aws:iam::1:role/switchboard"


class Client:
    """AWS's, of which every call ends the same way."""

    def __init__(self, end: Exception | dict[str, Any]) -> None:
        self._end = end

    def __getattr__(self, _operation: str) -> Callable[..., Awaitable[dict[str, Any]]]:
        return self._call

    async def _call(self, **_asked: Any) -> dict[str, Any]:
        if isinstance(self._end, Exception):
            raise self._end
        return self._end


async def ask_table(end: Exception | dict[str, Any], operation: str) -> None:
    table = Table(Client(end), "t")
    match operation:
        case "get":
            await table.get(Key("a", "b"))
        case "get_many":
            await table.get_many([Key("a", "b")])
        case "query":
            await table.query("#pk = :pk", pk="a")
        case "change":
            await table.change(put({"pk": "a"}))
        case "transact":
            await table.transact(put({"pk": "a"}))


async def ask_queue(end: Exception | dict[str, Any]) -> None:
    await Queue(Client(end), "q").receive(1, 1)


async def ask_bucket(end: Exception | dict[str, Any]) -> None:
    async with s3_errors():
        await Client(end).get_object()


@pytest.mark.parametrize("operation", ["get", "get_many", "query", "change", "transact"])
async def test_credentials_that_cannot_be_refreshed_are_a_database_that_cannot_be_reached(operation: str) -> None:
    with pytest.raises(Unavailable, match="The database cannot be reached"):
        await ask_table(STALE, operation)


@pytest.mark.parametrize("ask", [ask_queue, ask_bucket])
async def test_credentials_that_cannot_be_refreshed_are_no_fault_of_ours(
    ask: Callable[[Exception], Awaitable[None]],
) -> None:
    with structlog.testing.capture_logs() as said, pytest.raises(Unavailable):
        await ask(STALE)
    assert [line["log_level"] for line in said] == ["error"]


@pytest.mark.parametrize("operation", ["get_many", "query", "change"])
async def test_an_answer_that_is_none_is_a_database_that_cannot_be_reached(operation: str) -> None:
    with pytest.raises(Unavailable):
        await ask_table({}, operation)


async def test_a_message_that_is_none_is_a_queue_that_does_not_answer() -> None:
    with pytest.raises(Unavailable):
        await ask_queue({"Messages": [{}]})


@pytest.mark.parametrize("code", ["ValidationException", "AccessDeniedException", "SlowDown", "NoSuchBucket"])
async def test_people_are_told_nothing_in_the_vendors_words_and_operators_are(code: str) -> None:
    refused = ClientError({"Error": {"Code": code, "Message": SECRET}}, "GetItem")
    away = EndpointConnectionError(endpoint_url=SECRET)
    for ask in (lambda end: ask_table(end, "get"), ask_bucket):
        for end in (refused, away):
            with structlog.testing.capture_logs() as said, pytest.raises(ServerError) as told:
                await ask(end)
            assert not [word for word in (code, SECRET, "DynamoDB", type(end).__name__) if word in told.value.message]
            assert end is away or code in {line.get("code") for line in said}
