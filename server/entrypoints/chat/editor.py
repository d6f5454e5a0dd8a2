"""The line that a person types: bytes of a terminal to keys, keys to a line. No I/O."""

from __future__ import annotations

import codecs
import re

MOST_REMEMBERED = 200
LONGEST_SEQUENCE = 32

SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1bO.|\x1b[^\[O]|[^\x1b]", re.DOTALL)
KEYS = {
    "\r": "enter",
    "\n": "enter",
    "\x1b\r": "newline",
    "\x1b\n": "newline",
    "\x7f": "backspace",
    "\b": "backspace",
    "\x03": "interrupt",
    "\x04": "end of input",
    "\x1a": "suspend",
    "\x0c": "redraw",
    "\x01": "home",
    "\x1b[H": "home",
    "\x1b[1~": "home",
    "\x1bOH": "home",
    "\x05": "end",
    "\x1b[F": "end",
    "\x1b[4~": "end",
    "\x1bOF": "end",
    "\x02": "left",
    "\x1b[D": "left",
    "\x1bOD": "left",
    "\x06": "right",
    "\x1b[C": "right",
    "\x1bOC": "right",
    "\x10": "up",
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x0e": "down",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[3~": "delete",
    "\x0b": "cut the rest",
    "\x15": "cut the beginning",
    "\x17": "cut a word",
}
PASTE, PASTE_END = "\x1b[200~", "\x1b[201~"


class Keys:
    """Single characters, and the names in `KEYS`. Between the marks of a paste, characters only."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._pasting = False

    def feed(self, data: bytes) -> list[str]:
        text, self._rest = self._rest + self._decode(data), ""
        found, at = [], 0
        while sequence := SEQUENCE.match(text, at):
            at = sequence.end()
            found += self._key(sequence[0])
        # A sequence may come in two reads, but an escape alone is the key itself, which means nothing here.
        if 1 < len(text) - at <= LONGEST_SEQUENCE:
            self._rest = text[at:]
        return found

    def _key(self, sequence: str) -> list[str]:
        if sequence in {PASTE, PASTE_END}:
            self._pasting = sequence == PASTE
            return []
        if self._pasting and sequence in "\r\n":
            return ["\n"]
        if sequence in KEYS and not self._pasting:
            return [KEYS[sequence]]
        return [sequence] if len(sequence) == 1 and (sequence.isprintable() or sequence == "\t") else []


class Editor:
    """A line under way. What was entered before can be called back."""

    def __init__(self) -> None:
        self.text = ""
        self.cursor = 0
        self._past: list[str] = []
        self._at = 0

    def press(self, key: str) -> str | None:
        """The line, when the key ends it."""
        if len(key) == 1 or key == "newline":
            self._replace(self.cursor, self.cursor, key if len(key) == 1 else "\n")
            return None
        if key == "enter":
            return self._enter()
        self._edit(key)
        return None

    def clear(self) -> None:
        self.text, self.cursor, self._at = "", 0, len(self._past)

    def _enter(self) -> str:
        line = self.text
        if line.strip() and self._past[-1:] != [line]:
            self._past = [*self._past[1 - MOST_REMEMBERED :], line]
        self.clear()
        return line

    def _edit(self, key: str) -> None:
        match key:
            case "left":
                self.cursor = max(0, self.cursor - 1)
            case "right":
                self.cursor = min(len(self.text), self.cursor + 1)
            case "home":
                self.cursor = 0
            case "end":
                self.cursor = len(self.text)
            case "backspace":
                self._replace(max(0, self.cursor - 1), self.cursor)
            case "delete" | "end of input":
                self._replace(self.cursor, min(len(self.text), self.cursor + 1))
            case "cut the rest":
                self._replace(self.cursor, len(self.text))
            case "cut the beginning":
                self._replace(0, self.cursor)
            case "cut a word":
                before, space, _ = self.text[: self.cursor].rstrip().rpartition(" ")
                self._replace(len(before + space), self.cursor)
            case "up":
                self._recall(self._at - 1)
            case "down":
                self._recall(self._at + 1)
            case _:
                pass

    def _replace(self, start: int, end: int, text: str = "") -> None:
        self.text = self.text[:start] + text + self.text[end:]
        self.cursor = start + len(text)

    def _recall(self, at: int) -> None:
        if 0 <= at <= len(self._past):
            self._at = at
            self.text = [*self._past, ""][at]
            self.cursor = len(self.text)
