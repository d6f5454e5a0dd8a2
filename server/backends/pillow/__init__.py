"""Pictures decoded and drawn anew, so that nothing but the picture is left of them."""

from __future__ import annotations

from server.backends.pillow.redraw import Redrawer

__all__ = ["Redrawer"]
