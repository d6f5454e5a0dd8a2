"""The client's terminal: what is on the screen after what was shown, and what keys make of a line."""

from __future__ import annotations

import asyncio
import io
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.utils import get_cwidth

from server.entrypoints.chat.address import default_url, find_identity, socket_url, start_command
from server.entrypoints.chat.plain import Plain
from server.entrypoints.chat.screen import Screen, fold
from server.entrypoints.chat.verdict import Again, Stop, after_close, after_refusal, delays
from server.entrypoints.chat.view import Kind
from server.errors import ConfigError
from server.settings import read_settings
from tests.terminal import Terminal

PATIENCE = 10


class Display(io.StringIO):
    """A standard output that is a terminal."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def write(self, text: str) -> int:
        self._terminal.write(text)
        return len(text)


class Person:
    """Somebody at a terminal."""

    def __init__(self, terminal: Terminal, keys: PipeInput, *, colour: bool) -> None:
        size = lambda: Size(terminal.lines, terminal.columns)  # noqa: E731
        self.screen = Screen(Vt100_Output(Display(terminal), size, enable_bell=False, enable_cpr=False), colour=colour)
        self.terminal = terminal
        self.status = "connected"
        self.lines: list[str] = []
        self.interrupts = 0
        self.left: int | None = None
        self._keys = keys

    def press(self, keys: bytes) -> None:
        self._keys.send_bytes(keys)

    async def sees(self, text: str) -> None:
        """The whole screen."""
        await self._until(lambda: str(self.terminal) == text)

    async def entered(self, *lines: str) -> None:
        await self._until(lambda: self.lines == list(lines))

    async def _until(self, so: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not so():
                    await asyncio.sleep(0)
        except TimeoutError:
            raise AssertionError(f"entered: {self.lines}; the screen:\n{self.terminal}") from None

    def typed(self, line: str) -> None:
        self.lines.append(line)

    async def answered(self) -> None:
        pass

    def interrupt(self) -> None:
        self.interrupts += 1

    def leave(self, code: int) -> None:
        self.left = code


@asynccontextmanager
async def person(columns: int = 40, *, colour: bool = False, reflows: bool = True) -> AsyncIterator[Person]:
    with create_pipe_input() as keys, create_app_session(input=keys):
        one = Person(Terminal(columns, reflows=reflows), keys, colour=colour)
        listening = asyncio.create_task(one.screen.listen(one))
        await one.sees(">\nconnected")
        yield one
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def test_words_stream_above_the_line_being_typed() -> None:
    async with person() as anna:
        anna.screen.show(Kind.QUESTION, "hi")
        anna.screen.speak("Hel")
        anna.press(b"next ques")
        await anna.sees("> hi\nHel\n> next ques\nconnected")
        assert (anna.terminal.row, anna.terminal.column) == (3, len("> next ques"))
        anna.screen.speak("lo")
        await anna.sees("> hi\nHello\n> next ques\nconnected")
        anna.screen.show(Kind.REPLY, "Hello")
        await anna.sees("> hi\nHello\n> next ques\nconnected")


async def test_leaving_takes_what_is_below_away() -> None:
    async with person() as anna:
        anna.press(b"x")
        anna.screen.speak("Hello")
        await anna.sees("Hello\n> x\nconnected")
    assert str(anna.terminal) == "Hello"
    assert (anna.terminal.row, anna.terminal.column) == (1, 0)


async def test_a_reply_begun_anew_is_announced() -> None:
    async with person() as anna:
        anna.screen.speak("wrong")
        anna.screen.show(Kind.ANEW, "the reply begins anew")
        anna.screen.speak("Hel")
        anna.screen.speak("lo")
        anna.screen.show(Kind.REPLY, "Hello")
        await anna.sees("wrong\n· the reply begins anew\nHello\n>\nconnected")


async def test_remarks_in_the_middle_of_a_reply_stand_on_lines_of_their_own() -> None:
    async with person() as anna:
        anna.screen.speak("Hel")
        anna.screen.show(Kind.WARNING, "Lost.")
        anna.screen.speak("lo")
        anna.screen.show(Kind.FAILURE, "Sorry.")
        await anna.sees("Hel\n! Lost.\nlo\n! Sorry.\n>\nconnected")


async def test_what_was_said_before_looks_as_it_did_then() -> None:
    async with person() as anna:
        anna.screen.show(Kind.PAST_QUESTION, "hi\nyou")
        anna.screen.show(Kind.PAST_REPLY, "Hello\nyou")
        anna.screen.show(Kind.PAST_FAILURE, "Sorry.")
        anna.screen.show(Kind.LISTING, " 1 *\n 2")
        anna.screen.show(Kind.REMARK, "word " * 9)
        listed = "> hi\n  you\nHello\nyou\n! Sorry.\n 1 *\n 2\n· word word word word word word word\n  word word"
        await anna.sees(f"{listed}\n>\nconnected")


@pytest.mark.parametrize("reflows", [True, False])
async def test_a_resize_in_the_middle_of_a_reply_leaves_nothing_stale(reflows: bool) -> None:
    words = " ".join(f"word{number}" for number in range(20))
    async with person(60, reflows=reflows) as anna:
        anna.screen.show(Kind.QUESTION, "hi")
        anna.screen.speak(words)
        anna.press(b"a line under way that is fairly long")
        anna.status = "answering, many more waiting"
        for columns in (60, 20, 33, 25, 100, 61):
            anna.terminal.resize(columns)
            signal.raise_signal(signal.SIGWINCH)
            anna.screen.speak("!")
            words += "!"
            row = max(0, min(columns - 1, 100))
            typed = "> a line under way that is fairly long"
            below = [typed[at : at + columns].rstrip() for at in range(0, len(typed), columns)]
            state = anna.status[:columns].rstrip()
            await anna.sees("\n".join(["> hi", *fold(words, row), *below, state]))


async def test_ctrl_l_writes_the_screen_anew() -> None:
    async with person() as anna:
        anna.screen.speak("Hello")
        await anna.sees("Hello\n>\nconnected")
        anna.terminal.write("\rbroadcast message\n")
        anna.press(b"\x0c")
        await anna.sees("Hello\n>\nconnected")


@given(
    st.text(st.sampled_from("ab ö漢👩\u200d"), max_size=200),
    st.lists(st.integers(0, 200), max_size=8),
    st.integers(12, 60),
)
def test_a_reply_is_folded_alike_in_whatever_pieces_it_comes(text: str, cuts: list[int], columns: int) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    rows = [""]
    for start, end in pairwise(edges):
        rows = [*rows[:-1], *fold(rows[-1] + text[start:end], columns)]
    assert rows == fold(text, columns)
    assert all(get_cwidth(row) <= columns for row in rows)
    assert re.sub(r"\s", "", "".join(rows)) == re.sub(r"\s", "", text)


def test_lines_break_between_words_and_long_words_break_anywhere() -> None:
    assert fold("the quick brown fox", 10) == ["the quick", "brown fox"]
    assert fold("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert fold("漢字漢字漢字", 5) == ["漢字", "漢字", "漢字"]


async def test_a_reply_cannot_command_the_terminal() -> None:
    async with person() as anna:
        for kind in (Kind.QUESTION, Kind.PAST_REPLY, Kind.WARNING, Kind.LISTING):
            anna.screen.show(kind, "\x1b]52;c;aGk=\x07")
        anna.screen.speak("\x1b[2J\x9b2J\rtab\there\r\n")
        obeyed = "�]52;c;aGk=�"
        await anna.sees(f"> {obeyed}\n{obeyed}\n! {obeyed}\n{obeyed}\n�[2J�2J�tab    here\n\n>\nconnected")


@pytest.mark.parametrize("colour", [True, False])
async def test_colour_is_left_out_when_it_is_not_wanted(colour: bool) -> None:
    async with person(colour=colour) as anna:
        anna.screen.show(Kind.QUESTION, "hi")
        await anna.sees("> hi\n>\nconnected")
    assert anna.terminal.is_coloured is colour


async def test_wide_characters_take_two_cells() -> None:
    async with person(20) as anna:
        anna.screen.speak("漢字" * 12)
        anna.press("grüß 漢".encode())
        await anna.sees("漢字漢字漢字漢字漢\n字漢字漢字漢字漢字\n漢字漢字漢字\n> grüß 漢\nconnected")
        assert anna.terminal.column == len("> grüß ") + 2


# --- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (b"hello", "hello"),
        (b"helo\x1b[Dl", "hello"),
        (b"ello\x01h", "hello"),
        (b"ello\x1b[Hh\x1b[F!", "hello!"),
        (b"hellox\x7f", "hello"),
        (b"hxello\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[3~", "hello"),
        (b"hello world\x17", "hello "),
        (b"nonsense\x15hello", "hello"),
        (b"hello you\x1bOD\x1bOD\x1bOD\x02\x0b", "hello"),
        ("grüß 漢👩".encode(), "grüß 漢👩"),
        (b"\x7f\x1b[D\x1b[C\x1b[3~", ""),
        (b"see: \x1b[200~one\rtwo\x03\t3\x1b[A\x1b[201~ ok", "see: one\ntwo\x03\t3\x1b[A ok"),
        (b"one\x1b\rtwo", "one\ntwo"),
    ],
)
async def test_keys_edit_the_line(keys: bytes, line: str) -> None:
    async with person() as anna:
        anna.press(keys + b"\r")
        await anna.entered(line)
        await anna.sees(">\nconnected")


async def test_what_was_entered_is_called_back() -> None:
    async with person() as anna:
        anna.press(b"one\rtwo\r")
        await anna.entered("one", "two")
        anna.screen.show(Kind.QUESTION, "two")
        await anna.sees("> two\n>\nconnected")
        anna.press(b"\x1b[A")
        await anna.sees("> two\n> two\nconnected")
        anna.press(b"\x1b[A\x1b[A\x1b[B!\r")
        await anna.entered("one", "two", "two!")


async def test_ctrl_c_gives_up_a_line_before_anything_else() -> None:
    async with person() as anna:
        anna.press(b"half a line\x03")
        await anna.sees(">\nconnected")
        assert anna.interrupts == 0
        anna.press(b"\x03rest\r")
        await anna.entered("rest")
        assert anna.interrupts == 1


async def test_ctrl_d_leaves_an_empty_line_only() -> None:
    async with person() as anna:
        anna.press(b"x\x04\r")
        await anna.entered("x")
        assert anna.left is None
        anna.press(b"\x04rest\r")
        await anna.entered("x", "rest")
        assert anna.left == 0


# --- a pipe --------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_whole_replies_and_standard_error_the_remarks(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    plain = Plain()
    plain.show(Kind.QUESTION, "mine")
    plain.speak("Hel")
    plain.show(Kind.ANEW, "the reply begins anew")
    plain.show(Kind.REPLY, "Hello\x1b[1m")
    plain.show(Kind.REPLY, "Half")
    plain.show(Kind.REMARK, "cancelled")
    plain.show(Kind.FOREIGN_QUESTION, "theirs")
    plain.show(Kind.FOREIGN_REPLY, "for them")
    plain.show(Kind.FAILURE, "Sorry.")
    out, errors = capfdbinary.readouterr()
    assert out == b"Hello\x1b[1m\nHalf\n"
    assert errors == b"cancelled\n(from another device) theirs\nfor them\nSorry.\n"


# --- the way there ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [None, 1000, 1001, 1006, 1011, 1012, 4400, 4401, 4408, 4499])
def test_after_these_closes_it_comes_back(code: int | None) -> None:
    assert isinstance(after_close(code, ""), Again)


@pytest.mark.parametrize("code", [1008, 1009, 4500, 4599])
def test_after_these_closes_it_does_not(code: int) -> None:
    verdict = after_close(code, "go away")
    assert isinstance(verdict, Stop)
    assert "go away" in verdict.why


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_at_the_door_is_final_and_says_why(status: int) -> None:
    verdict = after_refusal(status, b'{"error":{"code":"x","message":"Not you."}}', None, renewable=True)
    assert verdict == Stop(f"The server refuses: Not you (HTTP {status}).")


@pytest.mark.parametrize(("status", "hint", "after"), [(429, "7", 7), (503, None, None), (502, "soon", None)])
def test_a_door_that_is_closed_for_now_is_tried_again(status: int, hint: str | None, after: float | None) -> None:
    verdict = after_refusal(status, b"<html>", hint, renewable=False)
    assert isinstance(verdict, Again)
    assert verdict.after == after


def test_tokens_that_are_refused_say_what_to_do() -> None:
    expired = after_refusal(403, b'{"error":{"code":"expired_token","message":"old"}}', None, renewable=False)
    foreign = after_refusal(403, b'{"error":{"code":"bad_token","message":"bad"}}', None, renewable=True)
    assert isinstance(expired, Stop)
    assert "new one" in expired.why
    assert isinstance(foreign, Stop)
    assert "DATA_DIR" in foreign.why


def test_tries_come_further_and_further_apart_and_not_in_step() -> None:
    waits = [list(islice(delays(), 8)) for _ in range(2)]
    assert waits[0] != waits[1]
    for wait in waits:
        assert all(low <= one <= 2 * low for one, low in zip(wait, (0.25, 0.5, 1, 2, 4, 4, 4, 4), strict=True))


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("ws://127.0.0.1:9001/ws", "ws://127.0.0.1:9001/ws"),
        ("http://localhost:8000", "ws://localhost:8000/ws"),
        ("https://chat.example.com/", "wss://chat.example.com/ws"),
        ("wss://x.execute-api.eu-west-1.amazonaws.com/dev", "wss://x.execute-api.eu-west-1.amazonaws.com/dev"),
    ],
)
def test_the_address_of_the_page_will_do(given: str, url: str) -> None:
    assert socket_url(given) == url


@pytest.mark.parametrize("given", ["", "localhost:8000", "ws://", "ftp://host", "ws://host:99999", "ws://ho st/"])
def test_an_address_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="--url"):
        socket_url(given)


def test_the_address_follows_the_settings(tmp_path: Path) -> None:
    def url(host: str, port: int) -> str:
        return default_url(read_settings(host=host, port=port, unsafe_local_user_pool=True))

    assert url("127.0.0.1", 9001) == "ws://127.0.0.1:9001/ws"
    assert url("::1", 8000) == "ws://[::1]:8000/ws"
    assert url("0.0.0.0", 8000) == "ws://127.0.0.1:8000/ws"
    with pytest.raises(ConfigError, match="--url"):
        url("127.0.0.1", 0)
    other = read_settings(port=9001, data_dir=tmp_path)
    assert start_command(other) == f"make run PORT=9001 DATA_DIR={tmp_path}"


def test_a_token_that_would_write_headers_is_refused() -> None:
    with pytest.raises(ConfigError, match="token"):
        find_identity(None, "abc\r\nX: y")
