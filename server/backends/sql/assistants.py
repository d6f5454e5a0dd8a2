"""Versions of assistants, and which of them each stage uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, false, insert, select, true, update

from server.backends.sql.base import SqlBase
from server.backends.sql.schema import assistant_moves, assistant_versions
from server.errors import Conflict, NotFound
from server.model import Move, Version

NAMED = assistant_versions.c.name == bindparam("of")
KEEP = insert(assistant_versions)
KEPT = select(assistant_versions).where(NAMED, assistant_versions.c.id == bindparam("version"))
BEGINNING = select(assistant_versions).where(NAMED, assistant_versions.c.id.like(bindparam("pattern"))).limit(2)
VERSIONS = select(assistant_versions).order_by(assistant_versions.c.created_at.desc())
VERSIONS_OF = VERSIONS.where(NAMED)
FORGET_VERSIONS = delete(assistant_versions).where(NAMED)

MOVED = assistant_moves.c.name == bindparam("of")
IN_STAGE = MOVED & (assistant_moves.c.stage == bindparam("where"))
MOVES = select(assistant_moves).order_by(assistant_moves.c.moved_at.desc(), assistant_moves.c.number.desc())
MOVES_OF = MOVES.where(MOVED)
NEWEST = select(assistant_moves).where(IN_STAGE).order_by(assistant_moves.c.number.desc()).limit(1)
HOLDING = NEWEST.where(assistant_moves.c.undone == false()).limit(2)
POINT = insert(assistant_moves)
ONE = IN_STAGE & (assistant_moves.c.number == bindparam("which"))
REPLACE_PROVIDER_ID = update(assistant_moves).where(ONE).values(provider_id=bindparam("provider_id"))
UNDO = update(assistant_moves).where(ONE).values(undone=true())
DROP = delete(assistant_moves).where(IN_STAGE)
FORGET_MOVES = delete(assistant_moves).where(MOVED)


class SqlAssistants(SqlBase):
    """Implements the ports Versions and Aliases."""

    # --- Versions ---

    async def keep_version(self, name: str, version: str, body: str) -> Version:
        return await self._database.write(lambda connection: self._keep(connection, name, version, body))

    def _keep(self, connection: Connection, name: str, version: str, body: str) -> Version:
        row = connection.execute(KEPT, {"of": name, "version": version}).first()
        if row is not None:
            return version_of(row)
        new = Version(name, version, body, self._now())
        connection.execute(KEEP, {"name": name, "id": version, "body": body, "created_at": new.created_at})
        return new

    async def version(self, name: str, prefix: str) -> Version:
        values = {"of": name, "pattern": f"{prefix}%"}
        found = await self._database.read(lambda connection: connection.execute(BEGINNING, values).all())
        if len(found) > 1:
            raise Conflict(f"Several versions of {name} begin with {prefix}; write more of it.")
        if not found:
            raise NotFound(f"There is no version {prefix} of {name}.")
        return version_of(found[0])

    async def versions(self, name: str | None = None) -> Sequence[Version]:
        return [version_of(row) for row in await self._listed(VERSIONS, VERSIONS_OF, name)]

    async def forget_assistant(self, name: str) -> None:
        await self._database.write(lambda connection: self._forget_assistant(connection, name))

    def _forget_assistant(self, connection: Connection, name: str) -> None:
        for statement in (FORGET_VERSIONS, FORGET_MOVES):
            connection.execute(statement, {"of": name})

    # --- Aliases ---

    async def point_alias(self, name: str, stage: str, version: str, provider_id: str | None = None) -> Move:
        return await self._database.write(
            lambda connection: self._point(connection, Move(name, stage, version, provider_id, self._now()))
        )

    def _point(self, connection: Connection, move: Move) -> Move:
        key = {"of": move.name, "where": move.stage}
        if connection.execute(KEPT, {"of": move.name, "version": move.version}).first() is None:
            raise NotFound(f"There is no version {move.version} of {move.name}.")
        here = connection.execute(HOLDING, key).first()
        if here is not None and here.version == move.version:
            connection.execute(REPLACE_PROVIDER_ID, {**key, "which": here.number, "provider_id": move.provider_id})
            return Move(move.name, move.stage, move.version, move.provider_id, here.moved_at)
        newest = connection.execute(NEWEST, key).first()
        connection.execute(POINT, move_row(move, newest.number + 1 if newest else 1))
        return move

    async def roll_back(self, name: str, stage: str) -> Move:
        return await self._database.write(lambda connection: self._roll_back(connection, name, stage))

    def _roll_back(self, connection: Connection, name: str, stage: str) -> Move:
        key = {"of": name, "where": stage}
        match connection.execute(HOLDING, key).all():
            case []:
                raise no_alias(name, stage)
            case [_]:
                raise Conflict(f"{name} was never anything else in stage {stage}.")
            case [here, before]:
                connection.execute(UNDO, {**key, "which": here.number})
                return move_of(before)
        raise AssertionError("unreachable")

    async def alias(self, name: str, stage: str) -> Move:
        values = {"of": name, "where": stage}
        row = await self._database.read(lambda connection: connection.execute(HOLDING, values).first())
        if row is None:
            raise no_alias(name, stage)
        return move_of(row)

    async def moves(self, name: str | None = None) -> Sequence[Move]:
        return [move_of(row) for row in await self._listed(MOVES, MOVES_OF, name)]

    async def drop_alias(self, name: str, stage: str) -> None:
        values = {"of": name, "where": stage}
        await self._database.write(lambda connection: connection.execute(DROP, values))

    async def _listed(self, every: Any, of: Any, name: str | None) -> Sequence[Row[Any]]:
        statement = every if name is None else of
        return await self._database.read(lambda connection: connection.execute(statement, {"of": name}).all())


def version_of(row: Row[Any]) -> Version:
    return Version(row.name, row.id, row.body, row.created_at)


def move_of(row: Row[Any]) -> Move:
    return Move(row.name, row.stage, row.version, row.provider_id, row.moved_at, bool(row.undone))


def move_row(move: Move, number: int) -> dict[str, Any]:
    return {
        "name": move.name,
        "stage": move.stage,
        "number": number,
        "version": move.version,
        "provider_id": move.provider_id,
        "moved_at": move.moved_at,
        "undone": False,
    }


def no_alias(name: str, stage: str) -> NotFound:
    return NotFound(f"There is no {name} in stage {stage}.")
