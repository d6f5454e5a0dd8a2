"""Versions of assistants, and which of them each stage uses.

An assistant's book says which life it lives, and for each stage which life that one lives, the number of its newest
move, and the move that holds. Every change writes the book, on condition that it is as it was read.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from server.backends.dynamodb import keys, texts, values
from server.backends.dynamodb.base import DynamoBase, unchanged
from server.backends.dynamodb.errors import read_and_change
from server.backends.dynamodb.items import Item, key_of
from server.backends.dynamodb.table import Write, check, delete, put, update
from server.errors import Conflict, NotFound
from server.model import Move, Version


class DynamoAssistants(DynamoBase):
    """Implements the ports Versions and Aliases."""

    async def _book(self, name: str) -> Item | None:
        return await self._table.get(keys.assistant(name)) if name and fits(name) else None

    # --- Versions ---

    async def keep_version(self, name: str, version: str, body: str) -> Version:
        return await read_and_change(lambda: self._keep(name, version, body))

    async def _keep(self, name: str, version: str, body: str) -> Version:
        book = await self._book(name)
        life = book["life"] if book else secrets.token_hex(8)
        key = keys.version(name, life, version)
        if book and (known := await self._table.get(key)) is not None:
            await texts.unpack(self._table, [known])
            return values.version(name, known)
        new: Item = {**key._asdict(), "createdAt": self._now()}
        parts = await texts.packed(new, body)
        await self._table.transact(
            living_still(book) if book else rewritten({**keys.assistant(name)._asdict(), "life": life}, None),
            put(new, "attribute_not_exists(#pk)"),
            *parts,
        )
        return Version(name, version, body, new["createdAt"])

    async def version(self, name: str, prefix: str) -> Version:
        found = await self._versions_of(await self._book(name), prefix, most=2) if fits(prefix) else []
        if len(found) > 1:
            raise Conflict(f"Several versions of {name} begin with {prefix}; write more of it.")
        if not found:
            raise NotFound(f"There is no version {prefix} of {name}.")
        return found[0]

    async def _versions_of(self, book: Item | None, prefix: str = "", most: int | None = None) -> list[Version]:
        if book is None:
            return []
        pk, sk = keys.version(book["sk"], book["life"], prefix)
        found = await self._table.query("#pk = :pk AND begins_with(#sk, :sk)", most=most, pk=pk, sk=sk)
        await texts.unpack(self._table, found)
        return [values.version(book["sk"], item) for item in found]

    async def versions(self, name: str | None = None) -> Sequence[Version]:
        found = [one for book in await self._books(name) for one in await self._versions_of(book)]
        return sorted(found, key=lambda one: one.created_at, reverse=True)

    async def _books(self, name: str | None) -> Sequence[Item]:
        if name is None:
            return await self._table.query("#pk = :pk", pk=keys.ASSISTANTS)
        book = await self._book(name)
        return [] if book is None else [book]

    async def forget_assistant(self, name: str) -> None:
        """Over when the book is gone; what it led to is deleted after that."""
        await read_and_change(lambda: self._forget(name))

    async def _forget(self, name: str) -> None:
        if (book := await self._book(name)) is not None:
            await self._table.transact(delete(key_of(book), "#life = :life", life=book["life"]))
            await self._clear_assistant(keys.version(name, book["life"], "").pk)

    async def _clear_assistant(self, pk: str, prefix: str = "") -> None:
        where = "#pk = :pk AND begins_with(#sk, :prefix)" if prefix else "#pk = :pk"
        named: dict[str, Any] = {"prefix": prefix} if prefix else {}
        found = await self._table.query(where, fields="#pk, #sk", pk=pk, **named)
        await self._table.delete_many([key_of(item) for item in found])

    # --- Aliases ---

    async def point_alias(self, name: str, stage: str, version: str, provider_id: str | None = None) -> Move:
        new = Move(name, stage, version, provider_id, self._now())
        return await read_and_change(lambda: self._point(new))

    async def _point(self, new: Move) -> Move:
        book = await self._book(new.name)
        if book is None or await self._table.get(keys.version(new.name, book["life"], new.version)) is None:
            raise NotFound(f"There is no version {new.version} of {new.name}.")
        here = stages(book).get(new.stage, {"life": secrets.token_hex(8), "newest": 0, "holding": None})
        if here["holding"] and here["holding"]["version"] == new.version:
            return await self._replace_provider_id(book, here, new)
        number = here["newest"] + 1
        item = values.move_item(keys.move(new.name, book["life"], here["life"], number), new)
        await self._table.transact(turned(book, new.stage, {**here, "newest": number, "holding": item}), put(item))
        return new

    async def _replace_provider_id(self, book: Item, here: Item, new: Move) -> Move:
        item = {**here["holding"], "providerId": new.provider_id}
        await self._table.transact(turned(book, new.stage, {**here, "holding": item}), put(item))
        return values.move(new.name, item)

    async def roll_back(self, name: str, stage: str) -> Move:
        return await read_and_change(lambda: self._roll_back(name, stage))

    async def _roll_back(self, name: str, stage: str) -> Move:
        book, here = await self._stage(name, stage)
        pk, prefix = keys.version(name, book["life"], "").pk, keys.moves(here["life"])
        found = await self._table.query(
            "#pk = :pk AND begins_with(#sk, :prefix)",
            only="#undone = :no",
            backwards=True,
            pk=pk,
            prefix=prefix,
            no=False,
        )
        if len(found) < 2:
            raise Conflict(f"{name} was never anything else in stage {stage}.")
        undone = update(key_of(found[0]), "SET #undone = :yes", "attribute_exists(#pk)", yes=True)
        await self._table.transact(turned(book, stage, {**here, "holding": found[1]}), undone)
        return values.move(name, found[1])

    async def _stage(self, name: str, stage: str) -> tuple[Item, Item]:
        book = await self._book(name)
        if book is None or stage not in stages(book):
            raise NotFound(f"There is no {name} in stage {stage}.")
        return book, stages(book)[stage]

    async def alias(self, name: str, stage: str) -> Move:
        _, here = await self._stage(name, stage)
        return values.move(name, here["holding"])

    async def moves(self, name: str | None = None) -> Sequence[Move]:
        found = [move for book in await self._books(name) for move in await self._moves_of(book)]
        return sorted(found, key=lambda move: move.moved_at, reverse=True)

    async def _moves_of(self, book: Item) -> list[Move]:
        """The newest of each stage first."""
        found: list[Item] = []
        for here in stages(book).values():
            pk, prefix = keys.version(book["sk"], book["life"], "").pk, keys.moves(here["life"])
            where = "#pk = :pk AND begins_with(#sk, :prefix)"
            found += await self._table.query(where, backwards=True, pk=pk, prefix=prefix)
        return [values.move(book["sk"], item) for item in found]

    async def drop_alias(self, name: str, stage: str) -> None:
        await read_and_change(lambda: self._drop(name, stage))

    async def _drop(self, name: str, stage: str) -> None:
        book = await self._book(name)
        if book is not None and (here := stages(book).get(stage)) is not None:
            await self._table.transact(turned(book, stage, None))
            await self._clear_assistant(keys.version(name, book["life"], "").pk, keys.moves(here["life"]))


def fits(word: str) -> bool:
    return len(word.encode()) <= keys.LONGEST_KEY


def stages(book: Item) -> dict[str, Item]:
    found: dict[str, Item] = book.get("stages", {})
    return found


def turned(book: Item, stage: str, here: dict[str, Any] | None) -> Write:
    """The book with this stage instead of what it said."""
    others = {one: known for one, known in stages(book).items() if one != stage}
    return rewritten({**book, "stages": others | ({stage: here} if here else {})}, book)


def rewritten(book: Item, before: Item | None) -> Write:
    condition, named = unchanged(before, "edition")
    return put({**book, "edition": secrets.token_hex(8)}, condition, **named)


def living_still(book: Item) -> Write:
    return check(key_of(book), "#life = :life", life=book["life"])
