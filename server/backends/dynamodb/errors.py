"""What went wrong at DynamoDB, in our words."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import aiohttp
import structlog
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

logger = structlog.get_logger()

Result = TypeVar("Result")

# Seconds that a change waits at most before it is tried again, each time.
PAUSES = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1, 1, 1, 1, 1)
PASSING = {
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
EXPIRED = {"ExpiredToken", "ExpiredTokenException"}
UNUSABLE = (NoCredentialsError, PartialCredentialsError, NoRegionError, ProfileNotFound)


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
    """What goes wrong is told to people without AWS's words, which name accounts, roles and tables."""
    try:
        yield
    except ClientError as error:
        raise translated(error) from error
    except (BotoCoreError, aiohttp.ClientError, OSError) as error:
        if isinstance(error, UNUSABLE):
            logger.warning("dynamodb_unusable", kind=type(error).__name__)
        raise Unavailable("The database cannot be reached.") from error
    except Exception as error:
        # Of whoever gives credentials, or of an answer that is none.
        logger.exception("dynamodb_failed")
        raise Unavailable("The database cannot be reached.") from error


@contextmanager
def wrong_settings() -> Iterator[None]:
    """While the server starts, what is refused is a setting that is wrong: `ConfigError`, in AWS's words."""
    try:
        yield
    except Unavailable as error:
        cause = error.__cause__
        if isinstance(cause, UNUSABLE) or (isinstance(cause, ClientError) and code_of(cause) in WRONG_SETTINGS):
            raise ConfigError(f"DynamoDB cannot be used: {cause}") from cause
        raise


def translated(error: ClientError) -> Exception:
    code, response = code_of(error), error.response
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "ConditionalCheckFailedException":
        return ConditionFailed([decode_item(response.get("Item") or {})])
    if code == "TransactionCanceledException":
        return cancelled(response.get("CancellationReasons") or [])
    if code == "TransactionConflictException":
        return Contended()
    if code in PASSING or status >= 500:
        return Unavailable("The database is busy.", retry_after=1)
    if code in WRONG_SETTINGS or code in EXPIRED:
        logger.error("dynamodb_refuses", code=code, operation=error.operation_name)
        return Unavailable("The database does not let this server in; try again later.")
    logger.error("dynamodb_refuses", code=code, operation=error.operation_name)
    return ServerError("The database refuses this.")


def code_of(error: ClientError) -> str:
    return str(error.response["Error"].get("Code", ""))


def cancelled(reasons: Sequence[Any]) -> Exception:
    codes: set[str] = {reason.get("Code") for reason in reasons} - {None, "None"}
    if codes and codes <= {"ConditionalCheckFailed"}:
        return ConditionFailed([failed_item(reason) for reason in reasons])
    if "ValidationError" in codes or "ItemCollectionSizeLimitExceeded" in codes:
        logger.error("dynamodb_refuses", code=",".join(sorted(codes)), operation="TransactWriteItems")
        return ServerError("The database refuses this.")
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
