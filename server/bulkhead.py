"""A wall between one piece of work and the process that does many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from server.errors import ServerError

logger = structlog.get_logger()


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
