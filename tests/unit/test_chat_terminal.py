"""The client's terminal: what is on the screen after what was written to it, and what keys make of a line."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.channels.websocket import frames
from server.entrypoints.chat.address import default_url, find_identity, socket_url, start_command
from server.entrypoints.chat.editor import Editor, Keys
from server.entrypoints.chat.effects import Anew, Asked, Ended, Listing, Past, Spoken, Told
from server.entrypoints.chat.plain import Plain
from server.entrypoints.chat.screen import Screen
from server.entrypoints.chat.text import cells, fold
from server.entrypoints.chat.verdict import Again, Retreat, Stop, after_close, after_refusal
from server.errors import ConfigError
from server.settings import read_settings
from tests.terminal import Terminal


def screen(terminal: Terminal, *, colour: bool = False) -> Screen:
    return Screen(terminal.write, lambda: terminal.columns, colour=colour)


def test_words_stream_above_the_line_being_typed() -> None:
    terminal = Terminal()
    shown = screen(terminal)
    shown.show(Asked("hi", mine=True))
    shown.bottom("waiting", ("", 0))
    shown.show(Spoken("Hel"))
    shown.bottom("answering", ("next ques", 4))
    assert str(terminal) == "> hi\nHel\nanswering > next ques"
    assert terminal.column == len("answering > next")
    shown.show(Spoken("lo"))
    shown.bottom("", ("next ques", 9))
    shown.show(Ended("Hello", "stop", mine=True, failed=False))
    assert str(terminal) == "> hi\nHello\n> next ques"


def test_leaving_takes_the_bottom_line_away() -> None:
    terminal = Terminal()
    shown = screen(terminal)
    shown.bottom("answering", ("x", 1))
    shown.show(Spoken("Hello"))
    shown.close()
    assert str(terminal) == "Hello"
    assert (terminal.row, terminal.column) == (1, 0)


def test_a_reply_begun_anew_is_announced() -> None:
    terminal = Terminal()
    shown = screen(terminal)
    for what in (
        Spoken("wrong"),
        Anew(),
        Spoken("Hel"),
        Spoken("lo"),
        Ended("Hello", "length", mine=True, failed=False),
    ):
        shown.show(what)
    assert str(terminal) == "wrong\n· the reply begins anew\nHello\n· cut off: it grew too long"


def test_remarks_in_the_middle_of_a_reply_stand_on_lines_of_their_own() -> None:
    terminal = Terminal()
    shown = screen(terminal)
    for what in (Spoken("Hel"), Told("Lost.", warning=True), Spoken("lo"), Ended("Sorry.", "error", True, failed=True)):
        shown.show(what)
    assert str(terminal) == "Hel\n! Lost.\nlo\n! Sorry."


def test_what_was_said_before_and_the_conversations_are_listed() -> None:
    terminal = Terminal(80)
    shown = screen(terminal)
    when = "2030-01-01T12:00:00.000Z"
    said = [
        frames.HistoryEntry(1, "user", "hi", "x", when),
        frames.HistoryEntry(2, "assistant", "Hello", "x", when),
        frames.HistoryEntry(3, "assistant", "Sorry.", "y", when, "timeout"),
    ]
    shown.show(Past(said, more=True))
    shown.show(Listing([frames.ConversationEntry(one, "a@1", when, when, 2) for one in ("c1", "c2")], "c2"))
    text = str(terminal)
    assert "/history with a larger number" in text
    assert "\n\n> hi\nHello\n! Sorry.\n  20" in text
    assert re.search(r"  2 entries  c1\n\* 20.*  2 entries  c2", text)


@given(
    st.text(st.sampled_from("ab \nö漢👩\u200d"), max_size=200),
    st.lists(st.integers(0, 200), max_size=8),
    st.integers(12, 60),
)
def test_a_reply_is_folded_alike_in_whatever_pieces_it_comes(text: str, cuts: list[int], columns: int) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    streamed, whole = Terminal(columns), Terminal(columns)
    shown = screen(streamed)
    for start, end in pairwise(edges):
        if start < end:
            shown.show(Spoken(text[start:end]))
    screen(whole).show(Spoken(text))
    if text:
        assert str(streamed) == str(whole)
        assert all(cells(row) < columns for row in whole.rows)
        assert re.sub(r"\s", "", str(whole)) == re.sub(r"\s", "", text)


def test_lines_break_between_words_and_long_words_break_anywhere() -> None:
    assert fold("the quick brown fox", 10) == ["the quick", "brown fox"]
    assert fold("one\n\ntwo", 10) == ["one", "", "two"]
    assert fold("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert fold("漢字漢字漢字", 5) == ["漢字", "漢字", "漢字"]


def test_a_reply_cannot_command_the_terminal() -> None:
    terminal = Terminal()
    screen(terminal).show(Spoken("\x1b]52;c;aGk=\x07\x1b[2J\x9b2J\rtab\there"))
    assert not {"\x1b[2J", "\x1b]", "\x07", "\x9b"} & set(re.findall(r"\x1b\[2J|\x1b\]|\x07|\x9b", terminal.written))
    assert "tab    here" in str(terminal)


def test_colour_is_left_out_when_it_is_not_wanted() -> None:
    for colour in (True, False):
        terminal = Terminal()
        shown = screen(terminal, colour=colour)
        shown.show(Asked("hi", mine=True))
        shown.bottom("waiting", ("", 0))
        assert bool(re.search(r"\x1b\[\d+m", terminal.written)) is colour


@pytest.mark.parametrize("columns", [30, 80])
def test_a_long_line_being_typed_stays_on_one_line_around_its_cursor(columns: int) -> None:
    terminal = Terminal(columns)
    shown = screen(terminal)
    text = "".join(chr(ord("a") + number % 26) for number in range(150))
    for cursor in (150, 75, 0):
        shown.bottom("answering, 12 more waiting", (text, cursor))
        row = terminal.rows[terminal.row]
        assert len(row) < columns
        before = row[: terminal.column].rpartition("> ")[2]
        assert text[:cursor].endswith(before)
        assert text[cursor:].startswith(row[terminal.column :])
        assert len(row[row.index("> ") :]) > 10
    shown.bottom("", ("two\nlines", 9))
    assert str(terminal) == "> two⏎lines"


# --- keys ----------------------------------------------------------------------------------------------------------


def typed(*reads: bytes) -> tuple[list[str], Editor]:
    """The lines that were entered, and the editor as it is then."""
    keys, editor, entered = Keys(), Editor(), []
    for read in reads:
        for key in keys.feed(read):
            line = editor.press(key)
            if line is not None:
                entered.append(line)
    return entered, editor


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
        (b"hello\x1b[15~\x1b[1;5Z\x07\x1bx", "hello"),
        ("grüß 漢👩".encode(), "grüß 漢👩"),
        (b"\xff\xfe", "��"),
        (b"\x7f\x1b[D\x1b[C\x1b[3~", ""),
    ],
)
def test_keys_edit_the_line(keys: bytes, line: str) -> None:
    entered, editor = typed(keys)
    assert (editor.text, entered) == (line, [])
    assert 0 <= editor.cursor <= len(line)
    assert typed(keys, b"\r")[0] == [line]


@given(st.binary(max_size=60), st.integers(0, 60))
def test_no_bytes_upset_the_keys(data: bytes, cut: int) -> None:
    typed(data[:cut], data[cut:])


def test_keys_that_come_in_pieces_are_put_together() -> None:
    assert typed(b"a\xc3", b"\xa4\x1b[", b"D", b"b")[1].text == "abä"
    assert typed(b"a", b"\x1b", b"b")[1].text == "ab"


def test_a_paste_of_several_lines_is_one_message() -> None:
    entered, editor = typed(b"see: \x1b[200~one\rtwo\x03\t3\x1b[A\x1b[201~ ok", b"\r")
    assert entered == ["see: one\ntwo\t3 ok"]
    assert editor.text == ""


def test_alt_enter_begins_a_line_in_the_message() -> None:
    assert typed(b"one\x1b\rtwo\r")[0] == ["one\ntwo"]


def test_what_was_entered_is_called_back() -> None:
    assert typed(b"one\rtwo\r\x1b[A\x1b[A\r")[0] == ["one", "two", "one"]
    assert typed(b"one\rtwo\r\x1b[A\x1b[A\x1b[A\x1b[B\r")[0] == ["one", "two", "two"]
    assert typed(b"one\r\x1b[A\x1b[B")[1].text == ""


# --- a pipe --------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_whole_replies_and_standard_error_the_remarks() -> None:
    out: list[str] = []
    remarks: list[str] = []
    plain = Plain(out.append, remarks.append)
    for what in (
        Asked("mine", mine=True),
        Spoken("Hel"),
        Anew(),
        Ended("Hello", "stop", mine=True, failed=False),
        Ended("Half", "cancelled", mine=True, failed=False),
        Asked("theirs", mine=False),
        Ended("for them", "stop", mine=False, failed=False),
        Ended("Sorry.", "error", mine=True, failed=True),
        Told("Lost."),
    ):
        plain.show(what)
    assert "".join(out) == "Hello\nHalf\n"
    assert "".join(remarks) == "(cancelled)\n(from another device) theirs\nfor them\nSorry.\nLost.\n"


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
    waits = [[retreat.next() for _ in range(8)] for retreat in (Retreat(), Retreat())]
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
