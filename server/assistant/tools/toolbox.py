"""Tools by name: told to the provider, called for the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.model import Caller, ToolCall, ToolResult


class Tools:
    """Implements the port Toolbox."""

    def functions(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """As the Responses API wants them told."""
        return []

    def size(self, names: Sequence[str]) -> int:
        """Bytes that they add to every prompt."""
        return 0

    async def call(self, call: ToolCall, caller: Caller) -> ToolResult:
        return ToolResult(call.id, "There is no such tool.", failed=True)
