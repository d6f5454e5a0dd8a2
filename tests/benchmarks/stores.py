"""Stores, and what fills them: what was said before, and others who are there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import sqlalchemy as sa

from server.backends.dynamodb import keys, values
from server.backends.dynamodb.items import Item, encode_item
from server.backends.sql import schema
from server.model import Conversation, Draft, Entry, Question, Reply
from tests.databases import SERVERS, scratch_database
from tests.ministack import Cloud, deployed

TEXT = "so many words, again and again; " * 8
# A process that lives as long as anything is measured.
ELSEWHERE = "http://127.0.0.1:1"
HOUR_MS = 3_600_000
AT_ONCE = 5_000
BATCH = 25
# Each is three items.
TOGETHER = BATCH // 3
# Others come for so long, and no longer: an emulator may be slow.
COMING_SECONDS = 60.0


class Store(Protocol):
    """What servers share. `settings`: theirs, to work on it."""

    @property
    def title(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, object]: ...

    def another(self) -> AbstractContextManager[Store]:
        """One of the same kind, empty."""
        ...

    def converse(self, entries: int) -> None:
        """Conversations in which nothing was said yet have so many entries."""
        ...

    def crowd(self, people: int) -> int:
        """How many others came, each with a conversation and a socket elsewhere."""
        ...

    def crowded(self) -> int:
        """How many of their sockets the store knows of."""
        ...


def entry(offset: int) -> Entry:
    """Questions and replies in turn."""
    question, now = (offset - 1) // 2 * 2 + 1, now_ms()
    if offset == question:
        return Question(offset, f"f{offset}", TEXT, now)
    return Reply(offset, question, f"f{question}", Draft(TEXT, "stop"), now)


def conversation_of(person: str) -> Conversation:
    now = now_ms()
    return Conversation(f"c_{person}", person, "websocket", "assistant", "e", 0, 0, now, now)


def others(number: int) -> Iterator[str]:
    return (f"other-{one}" for one in range(number))


def now_ms() -> int:
    return int(time.time() * 1000)


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@contextmanager
def postgres() -> Iterator[SqlStore]:
    with scratch_database(SERVERS["postgres"]) as url:
        yield SqlStore(url)


@dataclass(frozen=True)
class SqlStore:
    """A database of its own."""

    url: str
    title: str = "PostgreSQL"

    @property
    def settings(self) -> Mapping[str, object]:
        return {"DATABASE_URL": self.url.replace("+psycopg", "")}

    def another(self) -> AbstractContextManager[Store]:
        return postgres()

    def converse(self, entries: int) -> None:
        table = schema.conversations
        with self._engine.begin() as connection:
            empty = connection.execute(sa.select(table.c.id).where(table.c.head == 0)).scalars().all()
            for conversation in empty:
                rows = [entry_row(conversation, entry(offset)) for offset in range(1, entries + 1)]
                insert(connection, schema.entries, rows)
            change = table.update().where(table.c.head == 0).values(head=entries, answered=entries - 1)
            connection.execute(change)

    def crowd(self, people: int) -> int:
        until = now_ms() + HOUR_MS
        names = list(others(people))
        with self._engine.begin() as connection:
            insert(connection, schema.nodes, [{"url": ELSEWHERE, "alive_until": until}])
            insert(connection, schema.conversations, [conversation_row(conversation_of(one)) for one in names])
            current = [{"person": one, "channel": "websocket", "conversation_id": f"c_{one}"} for one in names]
            insert(connection, schema.current_conversations, current)
            sockets = [{"id": f"k_{one}", "person": one, "node": ELSEWHERE, "expires_at": until} for one in names]
            insert(connection, schema.connections, sockets)
            connection.execute(sa.text("ANALYZE"))
        return people

    def crowded(self) -> int:
        table = schema.connections
        with self._engine.connect() as connection:
            wanted = sa.select(sa.func.count()).select_from(table).where(table.c.node == ELSEWHERE)
            return connection.execute(wanted).scalar_one()

    @property
    def _engine(self) -> sa.Engine:
        return sa.create_engine(self.url, poolclass=sa.NullPool)


def entry_row(conversation_id: str, one: Entry) -> dict[str, object]:
    common = {
        "conversation_id": conversation_id,
        "offset": one.offset,
        "created_at": one.created_at,
        "text": TEXT,
        "message_id": one.message_id,
        "cancelled": False,
    }
    match one:
        case Question():
            return {**common, "question": None, "finish_reason": None}
        case Reply():
            return {**common, "question": one.question, "finish_reason": "stop"}


def conversation_row(one: Conversation) -> dict[str, object]:
    none = dict.fromkeys(("head", "answered", "waiting", "attempt", "lease_until", "due_at", "tries", "failures"), 0)
    names = {name: getattr(one, name) for name in ("id", "person", "channel", "assistant", "epoch")}
    return {**names, **none, "lease_owner": "", "created_at": one.created_at, "updated_at": one.updated_at}


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    for start in range(0, len(rows), AT_ONCE):
        connection.execute(table.insert(), rows[start : start + AT_ONCE])


# --- DynamoDB ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DynamoStore:
    """A stack of its own on an emulator; `settings` name another address where servers go through something."""

    cloud: Cloud
    endpoint: str
    title: str = "DynamoDB"

    @property
    def settings(self) -> Mapping[str, object]:
        queue = {"QUEUE_URL": self.cloud.settings["QUEUE_URL"], "AWS_ENDPOINT_URL": self.endpoint}
        return {**self.cloud.table_settings(), **queue}

    @contextmanager
    def another(self) -> Iterator[Store]:
        yield replace(self, cloud=deployed(self.cloud.owner))

    def converse(self, entries: int) -> None:
        for head in self._found("sk = :head AND answered = :none", head="head", none=0):
            conversation_id = head["pk"]["S"].removeprefix("conversation#")
            self._put(entry_item(conversation_id, entry(offset)) for offset in range(1, entries + 1))
            self._client.update_item(
                TableName=self._table,
                Key={name: head[name] for name in ("pk", "sk")},
                UpdateExpression="SET #offset = :newest, answered = :answered",
                ExpressionAttributeNames={"#offset": "offset"},
                ExpressionAttributeValues=encode_item({":newest": entries, ":answered": entries - 1}),
            )

    def crowd(self, people: int) -> int:
        now = now_ms()
        lives = {"aliveSince": now, "aliveUntil": now + HOUR_MS, "ttl": (now + HOUR_MS) // 1000}
        self._put([{**keys.node(ELSEWHERE)._asdict(), **lives}])
        came, names, latest = 0, list(others(people)), time.monotonic() + COMING_SECONDS
        while came < people and time.monotonic() < latest:
            newest = names[came : came + TOGETHER]
            self._put([item for one in newest for item in items_of(one, now)])
            came += len(newest)
        return came

    def crowded(self) -> int:
        return sum(1 for _ in self._found("#node = :node", node=ELSEWHERE))

    def _found(self, condition: str, **named: object) -> Iterable[Mapping[str, Any]]:
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression=condition,
            ExpressionAttributeValues=encode_item({f":{name}": value for name, value in named.items()}),
            **({"ExpressionAttributeNames": {"#node": "node"}} if "#node" in condition else {}),
        )
        return (item for page in pages for item in page["Items"])

    def _put(self, items: Iterable[Item]) -> None:
        wanted = [{"PutRequest": {"Item": encode_item(item)}} for item in items]
        for start in range(0, len(wanted), BATCH):
            self._client.batch_write_item(RequestItems={self._table: wanted[start : start + BATCH]})

    @property
    def _client(self) -> Any:
        return self.cloud.client("dynamodb")

    @property
    def _table(self) -> str:
        return self.cloud.settings["TABLE_NAME"]


def entry_item(conversation_id: str, one: Entry) -> Item:
    match one:
        case Question():
            return {**values.question_item(conversation_id, one), "text": TEXT}
        case Reply():
            return {**values.reply_item(conversation_id, one), "text": TEXT}


def items_of(person: str, now: int) -> list[Item]:
    """A conversation, which is the current one, and a socket."""
    conversation = conversation_of(person)
    connection = {
        **keys.connection(person, f"k_{person}")._asdict(),
        "connectionId": f"k_{person}",
        "userId": person,
        "node": ELSEWHERE,
        "createdAt": now,
        "updatedAt": now,
        "expiresAt": now + HOUR_MS,
        "ttl": (now + HOUR_MS) // 1000,
    }
    current = {**keys.current(person, "websocket")._asdict(), "conversationId": conversation.id}
    return [values.head_item(conversation), current, connection]
