"""What a person types."""

from __future__ import annotations

USUAL_PAGE = 20
LARGEST_PAGE = 100

HELP = """\
/new          begin another conversation
/list         your conversations, the one last spoken in first
/open N       go on in another: its number in the list, or its id
/history [N]  the last N things said here (20)
/cancel       want no answer any more to what is being answered; Ctrl-C does the same
/help         this
/quit         leave; so do Ctrl-D, and Ctrl-C when nothing is being answered
//...         a message that begins with a slash; Alt-Enter begins a new line in a message"""


def parse(line: str) -> tuple[str, str]:
    """A command and its argument. A message is the argument of no command; no argument, either, says nothing."""
    text = line.strip()
    if text.startswith("//") or not text.startswith("/"):
        return "", text.removeprefix("/")
    name, _, argument = text.partition(" ")
    return name, argument.strip()


def page(argument: str) -> int | None:
    """How much of the past; None for what is no number."""
    if not argument:
        return USUAL_PAGE
    return min(max(int(argument[:9]), 1), LARGEST_PAGE) if argument.isdecimal() else None
