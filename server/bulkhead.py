"""What goes wrong in one piece of work, in a process that does many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import structlog

from server.errors import ServerError, Unavailable

logger = structlog.get_logger()

# Seconds until a store that failed is told again.
DELAYS = (0.1, 0.5, 2.0, 5.0)

T = TypeVar("T")


@contextmanager
def bulkhead(action: str, **ids: object) -> Iterator[None]:
    """What goes wrong in the block ends the block alone, and is logged as `action`; a fault of ours with its trace.

    For loops, which do such work again, but never at once.
    """
    try:
        yield
    except ServerError as error:
        logger.warning(action, **ids, code=error.code)
    except TimeoutError:
        logger.warning(action, **ids, code="timeout")
    except Exception:
        logger.exception(action, **ids)


async def insist(tell: Callable[[], Awaitable[T]], ids: Mapping[str, object], delays: Sequence[float] = DELAYS) -> T:
    """For what is lost, or keeps others away, where a store that fails for a moment does not hear of it.

    `tell` may have been heard when it raises `Unavailable`: to tell it twice must be as good as once.
    """
    for delay in delays:
        try:
            return await tell()
        except Unavailable:
            logger.warning("store_failed", **ids, retry_in=delay)
        await asyncio.sleep(delay)
    return await tell()
