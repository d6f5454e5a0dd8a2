"""Sentences with which the server itself answers people at a phone, in the order of their log.

Which one is in the message id under which the text is accepted: the turn needs no model then, and finds it again
whatever happens in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

# How a turn ends that was answered so. What was said in it is no part of what the model is shown.
NOTICE = "notice"

Notice: TypeAlias = Literal["stop", "start", "help", "reset", "image", "picture", "minute", "day", "hour", "spend"]

HELP = "Write what you want to know. /reset begins a new conversation, STOP ends all messages."

NOTICES: Mapping[str, str] = {
    "stop": "You will get no more messages. START brings them back.",
    "start": "Welcome back. Write what you want to know, or STOP to end all messages.",
    "help": HELP,
    "reset": "This is a new conversation. What was said before is over.",
    "image": "Say what the picture should show, e.g. /image a fox in the snow.",
    "picture": "Here is your picture.",
    "minute": "That was a lot at once. Please wait a minute, then go on.",
    "day": "That was all for today. Please come back tomorrow.",
    "hour": "Too many people are writing just now. Please come back in an hour.",
    "spend": "No more can be answered today. Please come back tomorrow.",
}


def notice_id(notice: Notice, message_id: str) -> str:
    return f"{NOTICE}-{notice}-{message_id}"


def notice_of(message_id: str) -> str | None:
    """The name of the sentence that answers it."""
    mark, _, rest = message_id.partition("-")
    name = rest.partition("-")[0]
    return name if mark == NOTICE and name in NOTICES else None
