"""What the scripts do: to the store, and to the provider's objects where its protocol wants some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from server.assistant.definition import canonical, definition_of, is_prefix, version_of
from server.assistant.mirror import Mirror
from server.errors import BadInput, Conflict, NotFound
from server.model import Definition, Move, Version
from server.ports import Aliases, Versions

SHIPPED = "shipped"
SEE_LIST = "`python -m assistant_scripts.list_assistants` shows what there is."


class Shelf(Versions, Aliases, Protocol):
    """The part of a store that the scripts work on."""


@dataclass(frozen=True, slots=True)
class Written:
    """A definition, and its version."""

    definition: Definition
    version: str


@dataclass(frozen=True, slots=True)
class Change:
    """An alias, before and after. Without `before` there was none."""

    name: str
    stage: str
    before: Written | None
    after: Written
    provider_id: str | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is gone: the aliases, and the versions if there are any."""

    name: str
    aliases: Sequence[Move]
    versions: Sequence[Version]


class Desk:
    """`stage`: the one that is worked on. A dry run says the same, and changes nothing anywhere."""

    def __init__(
        self, shelf: Shelf, mirror: Mirror | None, shipped: Mapping[str, Definition], *, stage: str, dry_run: bool
    ) -> None:
        self.shelf = shelf
        self.shipped = shipped
        self.stage = stage
        self.dry_run = dry_run
        self._mirror = mirror

    async def create(self, definition: Definition) -> Change:
        """Raises `Conflict` if the stage has one of this name."""
        if await self.alias(definition.name) is not None:
            raise Conflict(f"{definition.name} is in stage {self.stage} already; update_assistant changes it.")
        return await self._point(None, written(definition))

    async def update(self, definition: Definition) -> Change:
        """Raises `NotFound` if the stage has none of this name."""
        before = await self.alias(definition.name)
        if before is None:
            raise NotFound(f"There is no {definition.name} in stage {self.stage}; create_assistant makes it.")
        return await self._point(before, written(definition))

    async def promote(self, name: str, word: str) -> Change:
        return await self._point(await self.alias(name), await self.find(name, word))

    async def roll_back(self, name: str) -> Change:
        moves = [move for move in await self.shelf.moves(name) if move.stage == self.stage and not move.undone]
        if not moves:
            raise NotFound(f"There is no {name} in stage {self.stage}. {SEE_LIST}")
        if len(moves) == 1:
            raise Conflict(f"{name} has no earlier version in stage {self.stage} to go back to.")
        now, after = moves[0], await self._kept(name, moves[1].version)
        provider_id = await self._mirrored(now, after)
        if not self.dry_run:
            await self.shelf.roll_back(name, self.stage)
            await self.shelf.point_alias(name, self.stage, after.version, provider_id)
        return Change(name, self.stage, await self._kept(name, now.version), after, provider_id)

    async def delete(self, name: str, *, everywhere: bool) -> Deletion:
        held = [move for move in holding(await self.shelf.moves(name)) if everywhere or move.stage == self.stage]
        versions = await self.shelf.versions(name) if everywhere else []
        if not held and not versions:
            where = "any stage" if everywhere else f"stage {self.stage}"
            raise NotFound(f"There is no {name} in {where} that could be deleted. {SEE_LIST}")
        if not self.dry_run:
            await self._unmirror(held)
            if everywhere:
                await self.shelf.forget_assistant(name)
            else:
                await self.shelf.drop_alias(name, self.stage)
        return Deletion(name, held, versions)

    async def alias(self, name: str) -> Move | None:
        try:
            return await self.shelf.alias(name, self.stage)
        except NotFound:
            return None

    async def find(self, name: str, word: str = "") -> Written:
        """By a stage, a version's beginning or the word shipped; without one, what the name means in the stage."""
        ships = written(self.shipped[name]) if name in self.shipped else None
        if is_prefix(word) and not (ships and ships.version.startswith(word)):
            return await self._kept(name, word)
        try:
            if word != SHIPPED and not is_prefix(word):
                return await self._kept(name, (await self.shelf.alias(name, word or self.stage)).version)
        except NotFound:
            if word:
                raise NotFound(f"There is no {name} in stage {word}. {SEE_LIST}") from None
        if ships is None:
            raise NotFound(f"There is no {name} in stage {self.stage}, and none ships. {SEE_LIST}")
        return ships

    async def _point(self, before: Move | None, after: Written) -> Change:
        name = after.definition.name
        earlier = await self._kept(name, before.version) if before else None
        if not self.dry_run:
            await self.shelf.keep_version(name, after.version, canonical(after.definition))
        provider_id = await self._mirrored(before, after)
        if not self.dry_run:
            await self.shelf.point_alias(name, self.stage, after.version, provider_id)
        return Change(name, self.stage, earlier, after, provider_id)

    async def _mirrored(self, before: Move | None, after: Written) -> str | None:
        known = before.provider_id if before else None
        if self._mirror is None or self.dry_run:
            return known
        return await self._mirror.put(known, after.definition, after.version)

    async def _unmirror(self, moves: Sequence[Move]) -> None:
        ids = {move.provider_id for move in moves if move.provider_id is not None}
        if ids and self._mirror is None:
            raise BadInput(
                f"The provider keeps {', '.join(sorted(ids))} for it; set ENGINE=threads to delete that too."
            )
        for one in sorted(ids):
            if self._mirror is not None:
                await self._mirror.delete(one)

    async def _kept(self, name: str, prefix: str) -> Written:
        version = await self.shelf.version(name, prefix)
        return Written(definition_of(version.body), version.id)


def written(definition: Definition) -> Written:
    return Written(definition, version_of(definition))


def holding(moves: Sequence[Move]) -> Sequence[Move]:
    """Of each alias the move that holds, by name and stage."""
    found: dict[tuple[str, str], Move] = {}
    for move in moves:
        if not move.undone:
            found.setdefault((move.name, move.stage), move)
    return [found[key] for key in sorted(found)]
