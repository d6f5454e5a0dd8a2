"""The environment and `.env`, read once, frozen. Every setting has its meaning beside it; secrets never print."""

from __future__ import annotations

from server.settings.kinds import LOOPBACK
from server.settings.whole import Settings, listing, read_settings, shown

__all__ = ["LOOPBACK", "Settings", "listing", "read_settings", "shown"]
