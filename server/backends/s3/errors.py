"""What went wrong at S3, in our words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

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

from server.errors import ConfigError, Unavailable

logger = structlog.get_logger()

CALL_SECONDS = 30
WRONG_SETTINGS = {"403", "AccessDenied", "InvalidAccessKeyId", "NoSuchBucket", "SignatureDoesNotMatch"}
EXPIRED = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
UNUSABLE = (NoCredentialsError, NoRegionError, PartialCredentialsError, ProfileNotFound)


class Missing(Exception):
    """There is no object of this key."""


class Taken(Exception):
    """There is one of this key already."""


@asynccontextmanager
async def s3_errors() -> AsyncIterator[None]:
    """What goes wrong is told to people without AWS's words, which name accounts, roles and buckets."""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            yield
    except ClientError as error:
        raise translated(error) from error
    except (BotoCoreError, aiohttp.ClientError, OSError) as error:
        logger.warning("s3_unusable" if isinstance(error, UNUSABLE) else "s3_away", kind=type(error).__name__)
        raise Unavailable("The store of files cannot be reached.") from error
    except Exception as error:
        # Of whoever gives credentials, or of an answer that is none.
        logger.exception("s3_failed")
        raise Unavailable("The store of files cannot be reached.") from error


@contextmanager
def wrong_settings() -> Iterator[None]:
    """While the server starts, what is refused is a setting that is wrong: `ConfigError`."""
    try:
        yield
    except Unavailable as error:
        cause = error.__cause__
        if isinstance(cause, UNUSABLE):
            raise ConfigError(f"S3 cannot be used: {cause}") from cause
        if isinstance(cause, ClientError) and code_of(cause) in WRONG_SETTINGS:
            raise ConfigError(
                f"S3 refuses: {code_of(cause)}; see BUCKET_NAME, and what the server's role may do."
            ) from cause
        raise


def translated(error: ClientError) -> Exception:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in {"NoSuchKey", "404", "NotFound"}:
        return Missing()
    if code in {"PreconditionFailed", "412"}:
        return Taken()
    if code in WRONG_SETTINGS or code in EXPIRED:
        logger.error("s3_refuses", code=code, operation=error.operation_name)
        return Unavailable("The store of files does not let this server in; try again later.")
    # Of two that put an object at once, S3 may tell one to try again (409).
    logger.warning("s3_busy", code=code or status, operation=error.operation_name)
    return Unavailable("The store of files is busy.", retry_after=1)


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
