"""One table, and what can be done with it. Every read sees all that was written before, but for an index."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias, TypeVar

from server.backends.dynamodb.errors import PAUSES, contend, dynamodb_errors, wrong_settings
from server.backends.dynamodb.items import Item, Key, decode_item, encode, encode_item, key_of
from server.errors import ServerError, Unavailable

NAME = re.compile(r"#(\w+)")
READ_AT_ONCE = 100
WRITTEN_AT_ONCE = 25

Write: TypeAlias = tuple[str, dict[str, Any]]
One = TypeVar("One")


def put(item: Item, condition: str = "", **values: Any) -> Write:
    return "Put", {"Item": encode_item(item), **expressions(values, ConditionExpression=condition)}


def update(key: Key, change: str, condition: str, **values: Any) -> Write:
    words = expressions(values, UpdateExpression=change, ConditionExpression=condition)
    return "Update", {"Key": encode_item(key._asdict()), **words}


def delete(key: Key, condition: str = "", **values: Any) -> Write:
    return "Delete", {"Key": encode_item(key._asdict()), **expressions(values, ConditionExpression=condition)}


def check(key: Key, condition: str, **values: Any) -> Write:
    words = expressions(values, ConditionExpression=condition)
    return "ConditionCheck", {"Key": encode_item(key._asdict()), **words}


def expressions(values: Mapping[str, Any], **sentences: str) -> dict[str, Any]:
    """The sentences, with their `#names` and `:values` spelled out."""
    said = {kind: sentence for kind, sentence in sentences.items() if sentence}
    names = {f"#{name}": name for sentence in said.values() for name in NAME.findall(sentence)}
    words: dict[str, Any] = dict(said)
    if names:
        words["ExpressionAttributeNames"] = names
    if values:
        words["ExpressionAttributeValues"] = {f":{name}": encode(value) for name, value in values.items()}
    return words


class Table:
    """Raises `Unavailable`, and where there are conditions `ConditionFailed` or `Contended`."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    async def check(self, key: Key) -> None:
        """Raises `ConfigError` where there is no such table, or no right to it."""
        with wrong_settings():
            await self.get(key)

    async def get(self, key: Key) -> Item | None:
        with dynamodb_errors():
            answer = await self._client.get_item(
                TableName=self._name, Key=encode_item(key._asdict()), ConsistentRead=True
            )
            return decode_item(answer["Item"]) if "Item" in answer else None

    async def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Those that are there."""
        found: dict[Key, Item] = {}
        for some in chunks(keys, READ_AT_ONCE):
            rest = {self._name: {"Keys": [encode_item(key._asdict()) for key in some], "ConsistentRead": True}}
            async for answer in self._piecemeal("batch_get_item", rest, "UnprocessedKeys"):
                with dynamodb_errors():
                    items = [decode_item(item) for item in answer["Responses"].get(self._name, ())]
                found.update((key_of(item), item) for item in items)
        return found

    async def put_many(self, items: Sequence[Item]) -> None:
        """Each has another key."""
        await self._write_many([{"PutRequest": {"Item": encode_item(item)}} for item in items])

    async def delete_many(self, keys: Sequence[Key]) -> None:
        await self._write_many([{"DeleteRequest": {"Key": encode_item(key._asdict())}} for key in keys])

    async def _write_many(self, requests: Sequence[Any]) -> None:
        for some in chunks(requests, WRITTEN_AT_ONCE):
            rest = {self._name: list(some)}
            async for _ in self._piecemeal("batch_write_item", rest, "UnprocessedItems"):
                pass

    async def _piecemeal(self, operation: str, rest: Any, left: str) -> AsyncIterator[Any]:
        """DynamoDB does as much of a batch as it likes. It is asked for the rest while there is one."""
        for pause in PAUSES:
            answer = await contend(partial(self._batch, operation, rest))
            yield answer
            rest = answer.get(left)
            if not rest:
                return
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311
        raise Unavailable("The database is busy.", retry_after=1)

    async def _batch(self, operation: str, rest: Any) -> Any:
        with dynamodb_errors():
            return await getattr(self._client, operation)(RequestItems=rest)

    async def pages(
        self,
        condition: str,
        *,
        index: str | None = None,
        only: str = "",
        fields: str = "",
        backwards: bool = False,
        most: int | None = None,
        **values: Any,
    ) -> AsyncGenerator[Sequence[Item]]:
        """What a query finds, call by call. `most`: in one call."""
        asked = {
            "TableName": self._name,
            "ScanIndexForward": not backwards,
            **expressions(values, KeyConditionExpression=condition, FilterExpression=only, ProjectionExpression=fields),
            **({"IndexName": index} if index else {"ConsistentRead": True}),
            **({"Limit": most} if most else {}),
        }
        while True:
            with dynamodb_errors():
                answer = await self._client.query(**asked)
                items = [decode_item(item) for item in answer["Items"]]
            yield items
            if not (last := answer.get("LastEvaluatedKey")):
                return
            asked["ExclusiveStartKey"] = last

    async def query(self, condition: str, *, most: int | None = None, **how: Any) -> list[Item]:
        found: list[Item] = []
        async with aclosing(self.pages(condition, most=most, **how)) as pages:
            async for page in pages:
                found += page
                if most is not None and len(found) >= most:
                    break
        return found[:most]

    async def first(self, condition: str, *, only: str, **how: Any) -> Item:
        """The first of which `only` is true; there is one."""
        async with aclosing(self.pages(condition, only=only, **how)) as pages:
            async for page in pages:
                if page:
                    return page[0]
        raise ServerError("An item is missing.")

    async def change(self, write: Write) -> Item:
        """An update; the item as it is then."""
        _, words = write
        with dynamodb_errors():
            answer = await self._client.update_item(
                TableName=self._name, ReturnValues="ALL_NEW", **words, **told_at_failure(words)
            )
            return decode_item(answer["Attributes"])

    async def transact(self, *writes: Write) -> None:
        """All of them, or none. The client gives each call a token, so its own retries do nothing twice."""
        with dynamodb_errors():
            await self._client.transact_write_items(TransactItems=[self._transacted(write) for write in writes])

    def _transacted(self, write: Write) -> dict[str, Any]:
        kind, words = write
        return {kind: {"TableName": self._name, **words, **told_at_failure(words)}}


def told_at_failure(words: Mapping[str, Any]) -> dict[str, str]:
    return {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"} if "ConditionExpression" in words else {}


def chunks(many: Sequence[One], size: int) -> Iterator[Sequence[One]]:
    return (many[start : start + size] for start in range(0, len(many), size))
