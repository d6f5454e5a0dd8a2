"""The provider's own object for an assistant, which the Assistants protocol wants."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai

from server.assistant.faults import provider_errors
from server.errors import NotFound, ProviderFailed
from server.model import Definition


class Mirror:
    """Keeps it as its definition says. The engine tells a version's tools and words with each run."""

    def __init__(self, client: openai.AsyncOpenAI, model: str) -> None:
        self._assistants = client.beta.assistants
        self._model = model
        self._host = client.base_url.host

    async def put(self, provider_id: str | None, definition: Definition, version: str) -> str:
        """Change the object, or make one if there is none; its id. `ProviderFailed` where no such objects are kept."""
        fields = self._fields(definition, version)
        if provider_id is not None:
            try:
                return await self._update(provider_id, fields)
            except NotFound:
                pass
        return await self._create(fields)

    async def delete(self, provider_id: str) -> None:
        """One that is gone already is no error."""
        with quiet():
            deleting = self._assistants.delete(provider_id)
        try:
            with provider_errors(asks_for="assistant"):
                await deleting
        except NotFound:
            pass

    async def _update(self, provider_id: str, fields: dict[str, Any]) -> str:
        with quiet():
            updating = self._assistants.update(provider_id, **fields)
        with provider_errors(asks_for="assistant"):
            return (await updating).id

    async def _create(self, fields: dict[str, Any]) -> str:
        with quiet():
            creating = self._assistants.create(**fields)
        try:
            with provider_errors(asks_for="address"):
                return (await creating).id
        except NotFound:
            raise ProviderFailed(
                f"{self._host} does not serve Assistants (OpenAI shut them down on 2026-08-26); set OPENAI_BASE_URL to"
                " a server that does, or ENGINE=responses.",
                code="no_assistants",
            ) from None

    def _fields(self, definition: Definition, version: str) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "name": definition.name,
            "description": definition.description,
            "instructions": definition.instructions,
            "model": definition.model or self._model,
            "metadata": {"version": version},
        }
        if definition.temperature is not None:
            fields["temperature"] = definition.temperature
        return fields


@contextmanager
def quiet() -> Iterator[None]:
    """The SDK calls the protocol deprecated at every call; whoever sets ENGINE=threads knows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
