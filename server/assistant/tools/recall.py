"""Notes that were made about the person."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from server.assistant.tools.tool import Given, tool
from server.model import MOST_NOTES, Caller, Note
from server.ports import Notes


@tool()
async def recall(
    caller: Caller,
    notes: Given[Notes],
    containing: Annotated[str | None, Field(description="only notes with this word in them; null: all")] = None,
) -> str | list[dict[str, str]]:
    """The notes that were kept about this person with `remember`, the newest first. Use it when an answer may depend on
    what they told you in an earlier conversation.
    """
    word = (containing or "").casefold()
    found = [note for note in await notes.of(caller.person, MOST_NOTES) if word in note.text.casefold()]
    return [shown(note) for note in found] or "There are no such notes."


def shown(note: Note) -> dict[str, str]:
    return {"noted": f"{datetime.fromtimestamp(note.created_at / 1000, UTC):%Y-%m-%d}", "text": note.text}
