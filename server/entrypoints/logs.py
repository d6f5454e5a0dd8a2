"""Log lines: a stable action word and ids; never a token, a text or a query string. To stderr."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import msgspec
import structlog

# Uvicorn says so of every handshake that was refused with an HTTP answer.
NOT_SO = "ASGI callable returned without completing handshake."

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
    logging.basicConfig(handlers=[Forwarder()], level=logging.WARNING, force=True)


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
        if record.msg == NOT_SO:
            return
        structlog.get_logger().log(
            record.levelno, "library", logger=record.name, message=record.getMessage(), exc_info=record.exc_info or None
        )
