"""Versions of assistants, and which of them each stage uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from server.backends.memory.base import MemoryBase
from server.errors import Conflict, NotFound
from server.model import Move, Version


class MemoryAssistants(MemoryBase):
    """Implements the ports Versions and Aliases."""

    def __init__(self, clock: Callable[[], float], lease_ms: int) -> None:
        super().__init__(clock, lease_ms)
        self._versions: dict[tuple[str, str], Version] = {}
        self._moves: dict[tuple[str, str], list[Move]] = {}

    # --- Versions ---

    async def keep_version(self, name: str, version: str, body: str) -> Version:
        return self._versions.setdefault((name, version), Version(name, version, body, self._now()))

    async def version(self, name: str, prefix: str) -> Version:
        found = [one for one in self._versions.values() if one.name == name and one.id.startswith(prefix)]
        if len(found) > 1:
            raise Conflict(f"Several versions of {name} begin with {prefix}; write more of it.")
        if not found:
            raise NotFound(f"There is no version {prefix} of {name}.")
        return found[0]

    async def versions(self, name: str | None = None) -> Sequence[Version]:
        found = [one for one in self._versions.values() if name in {None, one.name}]
        return sorted(found, key=lambda one: one.created_at, reverse=True)

    async def forget_assistant(self, name: str) -> None:
        self._versions = {key: one for key, one in self._versions.items() if key[0] != name}
        self._moves = {key: moves for key, moves in self._moves.items() if key[0] != name}

    # --- Aliases ---

    async def point_alias(self, name: str, stage: str, version: str, provider_id: str | None = None) -> Move:
        if (name, version) not in self._versions:
            raise NotFound(f"There is no version {version} of {name}.")
        moves = self._moves.setdefault((name, stage), [])
        here = holding(moves)
        if here is not None and moves[here].version == version:
            moves[here] = replace(moves[here], provider_id=provider_id)
            return moves[here]
        moves.append(Move(name, stage, version, provider_id, self._now()))
        return moves[-1]

    async def roll_back(self, name: str, stage: str) -> Move:
        moves = self._moves.get((name, stage), [])
        here = holding(moves)
        if here is None:
            raise NotFound(f"There is no {name} in stage {stage}.")
        before = holding(moves[:here])
        if before is None:
            raise Conflict(f"{name} was never anything else in stage {stage}.")
        moves[here] = replace(moves[here], undone=True)
        return moves[before]

    async def alias(self, name: str, stage: str) -> Move:
        moves = self._moves.get((name, stage), [])
        here = holding(moves)
        if here is None:
            raise NotFound(f"There is no {name} in stage {stage}.")
        return moves[here]

    async def moves(self, name: str | None = None) -> Sequence[Move]:
        found = [move for moves in self._moves.values() for move in reversed(moves) if name in {None, move.name}]
        return sorted(found, key=lambda move: move.moved_at, reverse=True)

    async def drop_alias(self, name: str, stage: str) -> None:
        self._moves.pop((name, stage), None)


def holding(moves: Sequence[Move]) -> int | None:
    """Where in the list the newest is that is not undone."""
    return next((number for number in reversed(range(len(moves))) if not moves[number].undone), None)
