"""Texts of any length, in items of at most 400 KB: a large one is compressed and cut into parts beside its item."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Sequence

from server.backends.dynamodb import keys
from server.backends.dynamodb.items import Item, Key, key_of
from server.backends.dynamodb.table import Table, Write, put
from server.errors import BadInput

INLINE_BYTES = 300_000
PART_BYTES = 350_000
# What is left of the 4 MB of a transaction belongs to the other items in it.
MOST_BYTES = 3_500_000


async def packed(item: Item, text: str) -> list[Write]:
    """Put the text into the item; the parts to be written with it. `BadInput` if no transaction holds them."""
    data = text.encode()
    if len(data) <= INLINE_BYTES:
        item["text"] = text
        return []
    small = await asyncio.to_thread(zlib.compress, data)
    if len(small) > MOST_BYTES:
        raise BadInput(f"A text of {len(data)} bytes is too large to be kept.")
    parts = [small[start : start + PART_BYTES] for start in range(0, len(small), PART_BYTES)]
    item |= {"size": len(data), "parts": len(parts)}
    aging = {"ttl": item["ttl"]} if "ttl" in item else {}
    return [put({**key._asdict(), **aging, "part": part}) for key, part in zip(part_keys(item), parts, strict=True)]


async def unpack(table: Table, items: Sequence[Item]) -> None:
    """Put the large texts into the items that were read. One whose parts are being deleted is empty."""
    large = [item for item in items if "parts" in item]
    found = await table.get_many([key for item in large for key in part_keys(item)])
    for item in large:
        parts = [found[key]["part"] for key in part_keys(item) if key in found]
        whole = len(parts) == item["parts"]
        item["text"] = await asyncio.to_thread(joined, parts) if whole else ""


def joined(parts: Iterable[bytes]) -> str:
    return zlib.decompress(b"".join(parts)).decode()


def part_keys(item: Item) -> list[Key]:
    return [keys.part(key_of(item), number) for number in range(item.get("parts", 0))]


def size(item: Item) -> int:
    """Of the text, as UTF-8."""
    known: int | None = item.get("size")
    return len(item["text"].encode()) if known is None else known
