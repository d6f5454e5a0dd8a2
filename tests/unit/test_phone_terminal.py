"""What the terminal that plays a phone says while nothing comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from server.entrypoints.phone import first


async def test_who_waits_long_is_told_why_that_may_be(capsys: pytest.CaptureFixture[str]) -> None:
    messages: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()
    assert await first(messages, seconds=0.02, quiet=0.01) is None
    assert "STOP" in capsys.readouterr().err


async def test_an_answer_in_time_comes_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    messages: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()
    messages.put_nowait({"Body": "hello"})
    assert await first(messages, seconds=2, quiet=1) == {"Body": "hello"}
    assert capsys.readouterr().err == ""
