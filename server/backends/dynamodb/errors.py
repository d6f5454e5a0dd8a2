"""What went wrong at DynamoDB, in our words."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from server.backends.dynamodb.items import Item, decode_item
from server.errors import ConfigError, ServerError, Unavailable

Result = TypeVar("Result")

# Seconds that a change waits at most before it is tried again, each time.
PAUSES = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1, 1, 1, 1, 1)
PASSING = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InternalServerError",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "ThrottlingException",
    "TransactionInProgressException",
}
WRONG_SETTINGS = {
    "AccessDeniedException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
}


class Contended(Exception):
    """Another change was under way, or too many at once; nothing was changed."""


class ConditionFailed(Exception):
    """Nothing was changed. `found`: for each write the item that failed its condition; {}: there is none."""

    def __init__(self, found: Sequence[Item | None]) -> None:
        super().__init__("a condition failed")
        self.found = found

    @property
    def item(self) -> Item:
        return next(item for item in self.found if item is not None)


@contextmanager
def dynamodb_errors() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise translated(error.response) from error
    except (NoCredentialsError, PartialCredentialsError, NoRegionError, ProfileNotFound) as error:
        raise ConfigError(f"DynamoDB cannot be used: {error}") from error
    except (BotoCoreError, TimeoutError) as error:
        raise Unavailable("The database cannot be reached.") from error


def translated(response: Any) -> Exception:
    code = response["Error"].get("Code", "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "ConditionalCheckFailedException":
        return ConditionFailed([decode_item(response.get("Item") or {})])
    if code == "TransactionCanceledException":
        return cancelled(response.get("CancellationReasons") or [])
    if code == "TransactionConflictException":
        return Contended()
    if code in PASSING or status >= 500:
        return Unavailable("The database is busy.", retry_after=1)
    if code in WRONG_SETTINGS:
        return ConfigError(f"DynamoDB refuses: {response['Error'].get('Message', code)}")
    return ServerError(f"DynamoDB refuses: {code}")


def cancelled(reasons: Sequence[Any]) -> Exception:
    codes = {reason.get("Code") for reason in reasons} - {None, "None"}
    if codes and codes <= {"ConditionalCheckFailed"}:
        return ConditionFailed([failed_item(reason) for reason in reasons])
    if "ValidationError" in codes or "ItemCollectionSizeLimitExceeded" in codes:
        return ServerError("DynamoDB refuses a transaction.")
    return Contended()


def failed_item(reason: Any) -> Item | None:
    return decode_item(reason.get("Item") or {}) if reason.get("Code") == "ConditionalCheckFailed" else None


async def contend(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Again while others are in the way; in the end `Unavailable`."""
    for pause in PAUSES:
        try:
            return await attempt()
        except Contended:
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311
    raise Unavailable("Too much happens at once here; try again.", retry_after=1)


async def read_and_change(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """`attempt` reads and then changes on condition that nothing else has; where something has, it does both again."""

    async def once() -> Result:
        try:
            return await attempt()
        except ConditionFailed as error:
            raise Contended from error

    return await contend(once)
