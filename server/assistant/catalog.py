"""Which definition answers."""

from __future__ import annotations

from collections.abc import Mapping

from server.assistant.definition import assistant_of
from server.model import Assistant, Definition


class ShippedCatalog:
    """Implements the port Catalog, for definitions that come with the server."""

    def __init__(self, definitions: Mapping[str, Definition], default: str) -> None:
        self._definitions = definitions
        self._default = default

    async def find(self, reference: str, channel: str) -> Assistant:
        name = reference.partition("@")[0]
        return assistant_of(self._definitions.get(name, self._definitions[self._default]), channel)
