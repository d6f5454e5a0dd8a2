"""What time it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from server.assistant.tools.tool import tool
from server.errors import BadInput


@tool(timeout_seconds=2)
async def current_time(
    timezone: Annotated[str | None, Field(description="IANA time zone, such as Europe/Rome; null is UTC")] = None,
) -> dict[str, str]:
    """The date, the time and the day of the week now. Use it for whatever depends on today's date or on the hour."""
    now = datetime.now(UTC if timezone is None else zone(timezone))
    return {"time": now.isoformat(timespec="seconds"), "weekday": f"{now:%A}", "timezone": timezone or "UTC"}


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # A name is looked up as a path, and each kind of nonsense fails in its own way.
        raise BadInput("There is no such time zone; give an IANA name, such as Europe/Rome, or null for UTC.") from None
