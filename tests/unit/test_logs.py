"""Log lines, as they are written."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from server.entrypoints.logs import configure_logs, loop_failed, process_crashed

CANARIES = [f"canary-{number}" for number in range(3)]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handlers = logging.root.handlers[:]
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers


def crash() -> None:
    nothing: dict[str, str] = {}
    try:
        nothing[CANARIES[0]]
    except KeyError as cause:
        raise ExceptionGroup(CANARIES[1], [ValueError(CANARIES[2])]) from cause


def test_a_line_is_json_with_an_action_and_ids(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "auto")
    structlog.get_logger().info("turn_ended", conversation="c1")
    structlog.get_logger().debug("unheard")
    line = json.loads(capsys.readouterr().err)
    assert (line["action"], line["conversation"], line["level"]) == ("turn_ended", "c1", "info")
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("style", ["json", "pretty"])
def test_an_exception_is_named_and_placed_but_not_quoted(capsys: pytest.CaptureFixture[str], style: str) -> None:
    configure_logs("info", style)
    try:
        crash()
    except ExceptionGroup:
        structlog.get_logger().exception("crashed")
    written = capsys.readouterr().err
    for shown in ("crashed", "KeyError", "ExceptionGroup", "ValueError", "test_logs.py"):
        assert shown in written
    for canary in CANARIES:
        assert canary not in written


def test_libraries_are_heard_from_warnings_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    logging.getLogger("uvicorn.error").info("GET /?Auth=secret")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").error("ASGI callable returned without completing handshake.")
    logging.getLogger("uvicorn.error").error("Cancel %s running task(s), timeout graceful shutdown exceeded", 3)
    line = json.loads(capsys.readouterr().err)
    assert (line["action"], line["message"]) == ("library", "Invalid HTTP request received.")


def test_what_a_library_puts_into_its_words_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("debug", "json")
    logging.getLogger("tests.loud").setLevel(logging.DEBUG)
    logging.getLogger("tests.loud").debug("Request body: %s", CANARIES[0])
    logging.getLogger("tests.loud").warning("Executing %s took long\nfuture: canary-3", CANARIES[1])
    line = json.loads(capsys.readouterr().err)
    assert (line["action"], line["message"]) == ("library", "Executing %s took long")


async def test_neither_is_what_the_event_loop_failed_at(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(loop_failed)
    loop.call_soon(int, CANARIES[0])
    await asyncio.sleep(0)
    line = json.loads(capsys.readouterr().err)
    assert (line["action"], line["message"]) == ("loop_failed", "Exception in callback int")
    assert "ValueError" in line["exception"]
    assert CANARIES[0] not in json.dumps(line)


def test_the_end_of_the_process_is_a_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    process_crashed(ValueError, ValueError(CANARIES[0]), None)
    line = json.loads(capsys.readouterr().err)
    assert (line["action"], line["exception"]) == ("process_crashed", "ValueError")
