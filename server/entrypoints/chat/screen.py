"""What a terminal shows: the conversation, streaming, above one line for the state and for typing.

Everything above is written once and scrolls away as usual. Redrawn are only the bottom line, which never wraps, and the
reply's last line as long as words are added to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from server.channels.websocket import frames
from server.entrypoints.chat import effects
from server.entrypoints.chat.text import WIDEST, cell, cells, clean, fold

BOLD, DIM, YELLOW, RED, CYAN, PLAIN = "\033[1m", "\033[2m", "\033[33m", "\033[31m", "\033[36m", "\033[0m"
ERASE = "\r\033[K"
UP = "\033[A"
PROMPT = "> "
NEWLINE = "⏎"
ROOM_TO_TYPE = 24


class Screen:
    """`columns` says how wide the terminal is now."""

    def __init__(self, write: Callable[[str], None], columns: Callable[[], int], *, colour: bool) -> None:
        self._write = write
        self._columns = columns
        self._colour = colour
        self._open: str | None = None
        self._status = ""
        self._typed: tuple[str, int] | None = None

    def show(self, what: effects.Show) -> None:
        match what:
            case effects.Spoken(text):
                self._speak(clean(text))
            case effects.Asked(text, mine):
                self._ask(text, "" if mine else "(from another device) ")
            case effects.Anew():
                self._print("· the reply begins anew", DIM)
            case effects.Ended():
                self._end(what)
            case effects.Told(text, warning):
                self._print(f"{'!' if warning else '·'} {text}", YELLOW if warning else DIM, indent="  ")
            case effects.Past(entries, more):
                self._past(entries, more)
            case effects.Listing():
                self._print("\n".join(what.lines()))
            case _:
                assert_never(what)

    def bottom(self, status: str, typed: tuple[str, int] | None) -> None:
        """The state, and the line being typed with its cursor's place; None where nobody types."""
        if (status, typed) != (self._status, self._typed):
            self._status, self._typed = status, typed
            self.redraw()

    def redraw(self) -> None:
        self._write(ERASE + self._bottom())

    def close(self) -> None:
        """Leaves the cursor on a line of its own."""
        self._status, self._typed = "", None
        self.redraw()

    def _ask(self, text: str, origin: str) -> None:
        self._finish()
        self._print("")
        self._print(f"{PROMPT}{origin}{text}", BOLD + CYAN, indent="  ")

    def _end(self, reply: effects.Ended) -> None:
        self._finish()
        if reply.failed:
            self._print(f"! {reply.text}", RED, indent="  ")
        elif reply.early:
            self._print(f"· {reply.early}", DIM)

    def _past(self, entries: Sequence[frames.HistoryEntry], more: bool) -> None:
        self._print("· what was said before that: /history with a larger number" if more else "· the beginning", DIM)
        for entry in entries:
            if entry.role == "user":
                self._ask(entry.text, "")
            else:
                self._print(entry.text if entry.code is None else f"! {entry.text}", RED if entry.code else "")

    def _speak(self, words: str) -> None:
        again = "" if self._open is None else UP + ERASE
        *lines, last = fold((self._open or "") + words, self._width)
        self._open = last
        self._write(ERASE + again + "".join(f"{line}\n" for line in [*lines, last]) + self._bottom())

    def _finish(self) -> None:
        self._open = None

    def _print(self, text: str, style: str = "", indent: str = "") -> None:
        self._finish()
        first, *rest = fold(clean(text), self._width - len(indent))
        lines = "".join(f"{self._styled(line, style)}\n" for line in [first, *(indent + line for line in rest)])
        self._write(ERASE + lines + self._bottom())

    def _bottom(self) -> str:
        room = self._columns() - 1
        if self._typed is None:
            return self._styled(self._status[:room], DIM)
        status = self._status[: max(0, room - ROOM_TO_TYPE)]
        status = status and f"{status} "
        text, cursor = window(*self._typed, room - cells(status + PROMPT))
        back = f"\r\033[{cells(status + PROMPT) + cursor}C"
        return self._styled(status, DIM) + self._styled(PROMPT, BOLD + CYAN) + text + back

    def _styled(self, text: str, style: str) -> str:
        return f"{style}{text}{PLAIN}" if self._colour and style and text else text

    @property
    def _width(self) -> int:
        return max(8, min(self._columns() - 1, WIDEST))


def window(text: str, cursor: int, room: int) -> tuple[str, int]:
    """As much of the text as there is room for, the cursor in it, and the cursor's cell."""
    text = text.replace("\n", NEWLINE).replace("\t", " ")
    start = cursor
    used = 0
    while start > 0 and used + cell(text[start - 1]) < room:
        start -= 1
        used += cell(text[start])
    end, at = cursor, used
    while end < len(text) and used + cell(text[end]) < room:
        used += cell(text[end])
        end += 1
    return text[start:end], at
