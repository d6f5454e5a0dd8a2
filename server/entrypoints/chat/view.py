"""What can be shown, to a screen and to a pipe, and what these ask of the program."""

from __future__ import annotations

from enum import Enum, unique
from typing import NamedTuple, Protocol

CONTROLS = {code: "�" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
TAB = "    "


class Look(NamedTuple):
    """What it begins with, on a screen and in a pipe; None where it is not shown. `aloud`: on standard output."""

    sign: str | None
    label: str | None
    style: str = ""
    aloud: bool = False


@unique
class Kind(Enum):
    """A reply's words were shown before its end on a screen, but not in a pipe: they could not be taken back there."""

    QUESTION = Look("> ", None, "class:question")
    FOREIGN_QUESTION = Look("> (from another device) ", "(from another device) ", "class:question")
    ANEW = Look("· ", None, "class:remark")
    REPLY = Look(None, "", aloud=True)
    FOREIGN_REPLY = Look(None, "")
    FAILURE = Look("! ", "", "class:failure")
    REMARK = Look("· ", "", "class:remark")
    WARNING = Look("! ", "", "class:warning")
    LISTING = Look("", "", aloud=True)
    PICTURE = Look("picture: ", "picture: ", aloud=True)
    FOREIGN_PICTURE = Look("picture: ", "picture: ")
    PAST_QUESTION = Look("> ", "you: ", "class:question", aloud=True)
    PAST_REPLY = Look("", "assistant: ", aloud=True)
    PAST_FAILURE = Look("! ", "assistant: ", "class:failure", aloud=True)


class View(Protocol):
    def show(self, kind: Kind, text: str) -> None:
        """Below all that was shown before."""
        ...

    def speak(self, words: str) -> None:
        """More of the reply under way; whatever is shown next ends it."""
        ...


class Ears(Protocol):
    """Hears what the person does."""

    @property
    def status(self) -> str: ...

    def typed(self, line: str) -> None: ...

    async def answered(self) -> None:
        """Returns when all that was typed has its answer."""
        ...

    def interrupt(self) -> None: ...

    def leave(self, code: int) -> None: ...


class Face(View, Protocol):
    """A view with somebody before it."""

    async def listen(self, ears: Ears) -> None:
        """Until it is cancelled; what was shown until then is seen."""
        ...

    def interrupt(self, ears: Ears) -> None:
        """Ctrl-C."""
        ...


def clean(text: str) -> str:
    """Without what a terminal would obey: a reply must not move its cursor or write its clipboard."""
    return text.replace("\r\n", "\n").replace("\t", TAB).translate(CONTROLS)
