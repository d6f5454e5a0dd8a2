"""Which version of the server this is, and how descriptions refer to their types."""

from __future__ import annotations

REFERENCE = "#/components/schemas/{name}"
RELEASE = "0.1.0"
