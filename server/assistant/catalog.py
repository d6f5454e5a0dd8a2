"""Which definition answers: what the store says now, and what ships with the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from server.assistant.definition import assistant_of, definition_of, is_prefix, version_of
from server.errors import Conflict, NotFound, Unavailable
from server.model import EVERY_TOOL, Assistant, Definition, Move
from server.ports import Aliases, Versions

LOOK_SECONDS = 1.0
MOST_KEPT = 2_000
PROVIDERS_OWN = "asst_"

logger = structlog.get_logger()

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reference means. `version` is empty for the provider's own object, of which we know no more."""

    definition: Definition
    version: str
    provider_id: str | None = None


@dataclass(slots=True)
class Known:
    """What a reference meant when it was last looked at, good until a moment of the clock."""

    until: float = 0
    meaning: Meaning | None = None
    on_channel: dict[str, Assistant] = field(default_factory=dict)
    lost: bool = False
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


class StoredCatalog:
    """Implements the port Catalog. Looks at the store once a second at most for each reference, when it is used."""

    def __init__(
        self,
        versions: Versions,
        aliases: Aliases,
        shipped: Mapping[str, Definition],
        *,
        default: str,
        stage: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._versions = versions
        self._aliases = aliases
        self._shipped = {name: Meaning(one, version_of(one)) for name, one in shipped.items()}
        self._default = default
        self._stage = stage
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._definitions: dict[tuple[str, str], Definition] = {}

    async def find(self, reference: str, channel: str) -> Assistant:
        known = self._known.get(reference)
        if known is None or known.until <= self._clock():
            known = await self._refreshed(reference)
        if known.meaning is None:
            return await self.find(self._default, channel)
        assistant = known.on_channel.get(channel)
        if assistant is None:
            assistant = known.on_channel[channel] = on(known.meaning, channel)
        return assistant

    async def check(self, reference: str) -> None:
        # A client is not to choose among the objects of the account at the provider.
        if reference.startswith(PROVIDERS_OWN) and reference != self._default:
            raise unknown(reference)
        await self._meaning(reference)

    async def _refreshed(self, reference: str) -> Known:
        known = self._known.get(reference) or remember(self._known, reference, Known())
        async with known.looking:
            if known.until <= self._clock():
                await self._look(reference, known)
        return known

    async def _look(self, reference: str, known: Known) -> None:
        """What was known stays so while the store cannot be asked, and the configured assistant also if it is gone."""
        try:
            meaning = await self._meaning(reference)
        except Unavailable:
            if known.meaning is None and not known.lost:
                raise
            logger.warning("assistant_not_looked_up", assistant=reference)
        except (NotFound, Conflict):
            self._lose(reference, known)
        else:
            known.lost = False
            if meaning != known.meaning:
                known.meaning, known.on_channel = meaning, {}
        known.until = self._clock() + LOOK_SECONDS

    def _lose(self, reference: str, known: Known) -> None:
        if reference == self._default:
            if known.meaning is None:
                raise unknown(reference)
        else:
            known.meaning = None
        if not known.lost:
            known.lost = True
            logger.warning("assistant_not_found", assistant=reference, instead=self._default)

    async def _meaning(self, reference: str) -> Meaning:
        """Raises `NotFound`, or `Conflict` for the beginning of several versions."""
        if reference.startswith(PROVIDERS_OWN):
            return Meaning(Definition(name=reference, instructions="", tools=(EVERY_TOOL,)), "", reference)
        name, _, word = reference.partition("@")
        if is_prefix(word):
            return await self._of_version(name, word)
        try:
            move = await self._aliases.alias(name, word or self._stage)
        except NotFound:
            if word or name not in self._shipped:
                raise unknown(reference) from None
            return self._shipped[name]
        return Meaning(await self._definition(name, move.version), move.version, move.provider_id)

    async def _of_version(self, name: str, prefix: str) -> Meaning:
        shipped = self._shipped.get(name)
        if shipped is not None and shipped.version.startswith(prefix):
            meaning = shipped
        else:
            version = await self._whole(name, prefix)
            meaning = Meaning(await self._definition(name, version), version)
        moves = await self._aliases.moves(name)
        return Meaning(meaning.definition, meaning.version, provider_id_of(moves, self._stage))

    async def _whole(self, name: str, prefix: str) -> str:
        known = self._known.get(f"{name}@{prefix}")
        if known is not None and known.meaning is not None:
            return known.meaning.version
        return (await self._versions.version(name, prefix)).id

    async def _definition(self, name: str, version: str) -> Definition:
        known = self._definitions.get((name, version))
        if known is None:
            kept = await self._versions.version(name, version)
            known = remember(self._definitions, (name, version), definition_of(kept.body))
        return known


def on(meaning: Meaning, channel: str) -> Assistant:
    if not meaning.version:
        return Assistant(meaning.definition.name, meaning.definition, meaning.provider_id)
    return assistant_of(meaning.definition, meaning.version, channel, meaning.provider_id)


def remember(kept: dict[Key, Value], key: Key, value: Value) -> Value:
    """Bounded: the one that came first goes first."""
    if len(kept) >= MOST_KEPT:
        del kept[next(iter(kept))]
    kept[key] = value
    return value


def provider_id_of(moves: Sequence[Move], stage: str) -> str | None:
    """Of any stage where there is one, rather of this."""
    found = [move for move in moves if move.provider_id is not None and not move.undone]
    found.sort(key=lambda move: move.stage != stage)
    return found[0].provider_id if found else None


def unknown(reference: str) -> NotFound:
    return NotFound(f"There is no assistant {reference!r}.", code="unknown_assistant")
