"""Text in the cells of a terminal."""

from __future__ import annotations

import unicodedata

WIDEST = 100
INVISIBLE = frozenset({"Mn", "Me", "Cf"})
CONTROLS = {code: "�" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
TAB = "    "


def clean(text: str) -> str:
    """Without what a terminal would obey: a reply must not move its cursor or write its clipboard."""
    return text.replace("\r\n", "\n").replace("\t", TAB).translate(CONTROLS)


def cells(text: str) -> int:
    """How wide it is shown; for joined emoji, the widest that terminals make of them."""
    if text.isascii():
        return len(text)
    return sum(map(cell, text))


def cell(character: str) -> int:
    if unicodedata.category(character) in INVISIBLE:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fold(text: str, width: int) -> list[str]:
    """Its lines, none wider than `width` cells, broken between words. Never empty; a last line may grow and be folded
    again, and gives the same lines as if all had come at once.
    """
    return [piece for line in text.split("\n") for piece in pieces(line, width)]


def pieces(line: str, width: int) -> list[str]:
    found = []
    while cells(line) > width:
        end = cut(line, width)
        found.append(line[:end].rstrip(" "))
        line = line[end:].removeprefix(" ")
    return [*found, line]


def cut(line: str, width: int) -> int:
    """Where to break a line that is too wide: at the last space that helps, else in the word."""
    end = used = 0
    while used + cell(line[end]) <= width:
        used += cell(line[end])
        end += 1
    space = line.rfind(" ", 1, end + 1)
    return space if space > 0 else max(end, 1)
