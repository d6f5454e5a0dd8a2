"""Words that are commands, alone in a text and in any case; and `/image PROMPT`. The model never sees them."""

from __future__ import annotations

from typing import Literal, TypeAlias

Command: TypeAlias = Literal["stop", "start", "yes", "help", "reset", "image", "picture"]

# Those that Twilio, or a carrier, takes for the wish to hear no more.
STOP = "stop stopall unsubscribe cancel end quit revoke optout opt-out remove arret arrêt td"
START = "start unstop"
HELP = "help info /help"
RESET = "/reset /exit /quit /bye /end"
IMAGE = ("/image", "/img")

COMMANDS: dict[str, Command] = {
    **dict.fromkeys(STOP.split(), "stop"),
    **dict.fromkeys(START.split(), "start"),
    **dict.fromkeys(HELP.split(), "help"),
    **dict.fromkeys(RESET.split(), "reset"),
    **dict.fromkeys(IMAGE, "image"),
    "yes": "yes",
}


def command_of(text: str) -> Command | None:
    """`yes` is one after a stop only. `image` is the command without a prompt, `picture` the one with it."""
    return "picture" if wish_of(text) else COMMANDS.get(text.strip().casefold())


def wish_of(text: str) -> str:
    """The prompt of `/image PROMPT`; empty where the text is none."""
    first, *prompt = text.split(maxsplit=1) or [""]
    return prompt[0].strip() if prompt and first.casefold() in IMAGE else ""
