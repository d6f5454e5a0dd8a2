"""A terminal to look at."""

from __future__ import annotations

import re
import unicodedata

STEP = re.compile(r"\x1b\[([\d;]*)([A-Za-z])|\x1b\[\?[\d;]+[hl]|(.)", re.DOTALL)
WRAPS, CUTS = "\x1b[?7h", "\x1b[?7l"
COLOUR = re.compile(r"\x1b\[[\d;]*[1-9][\d;]*m")


class Terminal:
    """As much of one as is written to: rows, those above its upper edge too, a cursor, colours that are not looked at.

    Narrowed, it breaks what is too wide, as most terminals do; or, not `reflows`, cuts it off, as the others do.
    """

    def __init__(self, columns: int = 40, lines: int = 24, *, reflows: bool = True) -> None:
        self.columns = columns
        self.lines = lines
        self.reflows = reflows
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0
        self.written = ""
        self._rest = ""
        self._wraps = True

    @property
    def top(self) -> int:
        return max(0, len(self.rows) - self.lines)

    @property
    def is_coloured(self) -> bool:
        return COLOUR.search(self.written) is not None

    def write(self, text: str) -> None:
        self.written += text
        text, self._rest = self._rest + text, ""
        begun = re.search(r"\x1b(\[[\d;?]*)?\Z", text)
        if begun:
            text, self._rest = text[: begun.start()], text[begun.start() :]
        for step in STEP.finditer(text):
            if step[3] is not None:
                self._put(step[3])
            elif step[2] is not None:
                self._obey(step[2], [int(number or 0) for number in step[1].split(";")])
            elif step[0] in {WRAPS, CUTS}:
                self._wraps = step[0] == WRAPS

    def resize(self, columns: int) -> None:
        for at in reversed(range(len(self.rows))):
            row = self.rows[at]
            pieces = [row[start : start + columns] for start in range(0, len(row), columns)] or [[]]
            self.rows[at : at + 1] = pieces if self.reflows else pieces[:1]
            if self.reflows and at < self.row:
                self.row += len(pieces) - 1
            elif self.reflows and at == self.row:
                self.row, self.column = self.row + self.column // columns, self.column % columns
        self.columns, self.column = columns, min(self.column, columns - 1)
        self._reach()

    def _obey(self, command: str, numbers: list[int]) -> None:
        count = max(1, numbers[0])
        match command:
            case "A":
                self.row = max(self.top, self.row - count)
            case "B":
                self.row = min(self.top + self.lines - 1, self.row + count)
            case "C":
                self.column = min(self.columns - 1, self.column + count)
            case "D":
                self.column = max(0, self.column - count)
            case "H":
                assert max(numbers) <= 1, "only the first place is gone to"
                self.row, self.column = self.top, 0
            case "K":
                del self.rows[self.row][self.column :]
            case "J":
                assert numbers == [0], "only what is below is erased"
                self._reach()
                del self.rows[self.row][self.column :]
                self.rows[self.row + 1 :] = [[] for _ in self.rows[self.row + 1 :]]
            case "m":
                pass
            case _:
                raise AssertionError(f"written to a terminal: {command} {numbers}")
        self._reach()

    def _put(self, character: str) -> None:
        match character:
            case "\r":
                self.column = 0
            case "\n":
                self.row += 1
            case "\b":
                self.column = max(0, self.column - 1)
            case _:
                assert character.isprintable() or unicodedata.category(character) == "Cf", f"written: {character!r}"
                self._show(character)
        self._reach()

    def _show(self, character: str) -> None:
        wide = unicodedata.east_asian_width(character) in "WF"
        if self.column + wide >= self.columns:
            self.row, self.column = (self.row + 1, 0) if self._wraps else (self.row, self.columns - 1 - wide)
            self._reach()
        row = self.rows[self.row]
        row += [" "] * (self.column - len(row))
        if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
            row[self.column - 1] += character
            return
        row[self.column : self.column + 1 + wide] = [character, ""] if wide else [character]
        self.column += 1 + wide

    def _reach(self) -> None:
        self.rows += [[] for _ in range(self.row + 1 - len(self.rows))]

    def __str__(self) -> str:
        return "\n".join("".join(row).rstrip() for row in self.rows).strip("\n")
