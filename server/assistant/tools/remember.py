"""Notes that the model makes about the person."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from server.assistant.tools.tool import Given, tool
from server.model import Caller
from server.ports import Notes


@tool()
async def remember(
    caller: Caller,
    notes: Given[Notes],
    text: Annotated[str, Field(description="one fact, as a sentence that is clear without this conversation")],
) -> str:
    """Keep a note about this person for all later conversations: a preference, a plan, a fact about them. Use it when
    they ask you to remember something, or tell you what will matter again. Never for passwords or payment data.
    """
    await notes.add(caller.person, caller.key, text)
    return "Noted."
