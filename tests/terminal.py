"""A terminal to look at."""

from __future__ import annotations

import re

STEP = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[\?\d+[hl]|(.)", re.DOTALL)


class Terminal:
    """As much of one as is written to: lines, a cursor, colours that are not looked at."""

    def __init__(self, columns: int = 40) -> None:
        self.columns = columns
        self.rows = [""]
        self.row = self.column = 0
        self.written = ""

    def write(self, text: str) -> None:
        self.written += text
        for step in STEP.finditer(text):
            if step[3] is not None:
                self._put(step[3])
            elif step[2] == "A":
                self.row -= int(step[1] or 1)
                assert self.row >= 0
            elif step[2] == "C":
                self.column += int(step[1])
            elif step[2] == "K":
                self.rows[self.row] = self.rows[self.row][: self.column]

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row, self.column = self.row + 1, 0
            self.rows += [""] * (self.row + 1 - len(self.rows))
        else:
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
            self.column += 1
            assert self.column <= self.columns, "a line wrapped by itself"

    def __str__(self) -> str:
        return "\n".join(row.rstrip() for row in self.rows).strip("\n")
