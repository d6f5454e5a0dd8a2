"""Log lines: a stable action word and ids; never a token, a text or a query string. To stderr."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import msgspec
import structlog

# Where a message of asyncio goes over to what it is about.
OBJECTS = re.compile(r"[(<{\[\n'\"]")
# Errors of uvicorn's that are none: every handshake that was refused with an HTTP answer, and every end of the process
# for which somebody was too slow.
NO_ERRORS = frozenset(
    {
        "ASGI callable returned without completing handshake.",
        "Cancel %s running task(s), timeout graceful shutdown exceeded",
    }
)

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logs(level: str, style: str) -> None:
    """`style`: pretty, json, or auto, which is pretty on a terminal."""
    pretty = style == "pretty" or (style == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("%H:%M:%S" if pretty else "iso", utc=not pretty),
            structlog.processors.ExceptionRenderer(places),
            *(pretty_lines() if pretty else json_lines()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Of the libraries only warnings: uvicorn's own lines would quote query strings, and those hold tokens.
    # The handler's own level holds where somebody turns one of their loggers up.
    logging.basicConfig(handlers=[Forwarder(logging.WARNING)], level=logging.WARNING, force=True)


def catch_the_rest() -> None:
    """What Python itself would print, with the exception's message, as a line of ours."""
    sys.excepthook = process_crashed
    sys.unraisablehook = lambda told: structlog.get_logger().error("error_ignored", exc_info=told.exc_value)
    threading.excepthook = lambda told: structlog.get_logger().error("thread_crashed", exc_info=told.exc_value)


def process_crashed(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, where)
        return
    structlog.get_logger().critical("process_crashed", exc_info=error)


def loop_failed(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """An event loop's exception handler: the loop itself would show tasks and arguments, and so what is in them."""
    told = OBJECTS.split(str(context.get("message", "")))[0].strip()
    structlog.get_logger().error("loop_failed", message=told, exc_info=context.get("exception"))


def pretty_lines() -> list[Any]:
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=20)]


def json_lines() -> list[Any]:
    return [
        structlog.processors.EventRenamer("action"),
        structlog.processors.JSONRenderer(serializer=to_json),
    ]


def places(exc_info: Any) -> str:
    """An exception and its causes: kinds and places. Not their messages, which quote what people said."""
    error: BaseException | None = exc_info[1]
    lines: list[str] = []
    while error is not None:
        lines += [type(error).__qualname__, *(line.rstrip() for line in traceback.format_tb(error.__traceback__))]
        if isinstance(error, BaseExceptionGroup):
            lines += [places((None, inner, None)) for inner in error.exceptions]
        error = error.__cause__ or error.__context__
    return "\n".join(lines)


def to_json(line: Any, **_options: Any) -> str:
    return msgspec.json.encode(line, enc_hook=repr).decode()


class Forwarder(logging.Handler):
    """The standard library's log lines as ours."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg in NO_ERRORS:
            return
        # Its words, without what it put into them.
        told = str(record.msg).partition("\n")[0]
        structlog.get_logger().log(
            record.levelno, "library", logger=record.name, message=told, exc_info=record.exc_info or None
        )
