"""Pictures for the person."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from server.assistant.pictures import Pictures
from server.assistant.tools.tool import Given, Shown, tool
from server.model import Caller

# The settings say how long a picture may take; this is longer than they can.
LONGEST_SECONDS = 660


@tool(timeout_seconds=LONGEST_SECONDS)
async def generate_image(
    caller: Caller,
    pictures: Given[Pictures],
    description: Annotated[str, Field(description="the whole picture: subject, setting, style, light, colours, mood")],
) -> Shown:
    """Make a picture from a description, and send it to the person together with your answer. Use it only when they
    ask for a picture. It takes up to a minute, and knows nothing of the conversation nor of earlier pictures.
    """
    key = await pictures.picture(description, caller)
    return Shown("The picture is made. It is sent with your answer, so write no link and no placeholder.", (key,))
