"""What a person types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

USUAL_PAGE = 20
LARGEST_PAGE = 100

HELP = """\
/new          begin another conversation
/list         your conversations, the one last spoken in first
/history [N]  the last N things said here (20)
/cancel       want no answer any more to what is being answered; Ctrl-C does the same
/help         this
/quit         leave; so do Ctrl-D, and Ctrl-C when nothing is being answered
//...         a message that begins with a slash"""


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class New:
    pass


@dataclass(frozen=True, slots=True)
class List:
    pass


@dataclass(frozen=True, slots=True)
class History:
    limit: int = USUAL_PAGE


@dataclass(frozen=True, slots=True)
class Cancel:
    pass


@dataclass(frozen=True, slots=True)
class Help:
    pass


@dataclass(frozen=True, slots=True)
class Quit:
    pass


@dataclass(frozen=True, slots=True)
class Unknown:
    text: str


Command: TypeAlias = Say | New | List | History | Cancel | Help | Quit | Unknown

PLAIN: dict[str, Command] = {
    "/new": New(),
    "/list": List(),
    "/history": History(),
    "/cancel": Cancel(),
    "/help": Help(),
    "/quit": Quit(),
}


def command(line: str) -> Command | None:
    """None for a line that says nothing."""
    text = line.strip()
    if not text:
        return None
    if not text.startswith("/"):
        return Say(text)
    if text.startswith("//"):
        return Say(text[1:])
    name, _, argument = text.partition(" ")
    if name == "/history" and argument.strip().isdecimal():
        return History(min(max(int(argument[:9]), 1), LARGEST_PAGE))
    return PLAIN.get(text, Unknown(text))
