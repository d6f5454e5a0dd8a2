"""The statements, built once: building one costs more than running it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Delete,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    tuple_,
    update,
)

from server.backends.sql.schema import (
    accounts,
    claims,
    connections,
    conversations,
    current_conversations,
    dead_letters,
    entries,
    nodes,
    notes,
    outbox,
    outgoing_parts,
    receipts,
    sign_outs,
    steps,
    writers,
)

BY_ID = conversations.c.id == bindparam("key")

FIND = select(conversations).where(BY_ID, conversations.c.person == bindparam("person"))
LOCK = select(conversations).where(BY_ID).with_for_update()
CURRENT = (
    select(conversations)
    .join(current_conversations, current_conversations.c.conversation_id == conversations.c.id)
    .where(
        current_conversations.c.person == bindparam("person"), current_conversations.c.channel == bindparam("channel")
    )
)
HEAD = CURRENT.add_columns(exists().where(dead_letters.c.conversation_id == conversations.c.id).label("has_letters"))
RECENT = (
    select(conversations)
    .where(conversations.c.person == bindparam("person"))
    .order_by(conversations.c.updated_at.desc(), conversations.c.created_at.desc())
    .limit(bindparam("most"))
)
LOOK_UP = select(conversations).where(BY_ID)
CALLERS = (
    select(conversations.c.person)
    .distinct()
    .where(conversations.c.channel == bindparam("channel"), conversations.c.person > bindparam("after"))
    .order_by(conversations.c.person)
    .limit(bindparam("most"))
)
WAITING = (
    select(conversations.c.id)
    .where(
        conversations.c.waiting > 0,
        conversations.c.lease_until <= bindparam("now"),
        conversations.c.due_at <= bindparam("now"),
    )
    .limit(bindparam("most"))
)

CREATE = insert(conversations)
MAKE_CURRENT = insert(current_conversations)
TAKE_OVER = (
    update(current_conversations)
    .where(
        current_conversations.c.person == bindparam("whose"),
        current_conversations.c.channel == bindparam("where"),
        current_conversations.c.conversation_id == bindparam("old"),
    )
    .values(conversation_id=bindparam("new"))
)
LEAVE_CURRENT = delete(current_conversations).where(
    current_conversations.c.person == bindparam("whose"), current_conversations.c.channel == bindparam("where")
)

FORGET_CONVERSATION = (
    delete(conversations).where(BY_ID),
    delete(current_conversations).where(
        current_conversations.c.person == bindparam("whose"),
        current_conversations.c.conversation_id == bindparam("key"),
    ),
    delete(entries).where(entries.c.conversation_id == bindparam("key")),
    delete(steps).where(steps.c.conversation_id == bindparam("key")),
    delete(outbox).where(outbox.c.conversation_id == bindparam("key")),
    delete(outgoing_parts).where(outgoing_parts.c.conversation_id == bindparam("key")),
    delete(dead_letters).where(dead_letters.c.conversation_id == bindparam("key")),
)
FORGET_CLAIMS = delete(claims).where(
    claims.c.person == bindparam("whose"), claims.c.conversation_id == bindparam("key")
)

CLAIM = insert(claims)
CLAIMED = (
    select(claims.c.conversation_id, claims.c.offset, claims.c.created_at, entries.c.message_id, entries.c.text)
    .outerjoin(entries, (entries.c.conversation_id == claims.c.conversation_id) & (entries.c.offset == claims.c.offset))
    .where(claims.c.person == bindparam("person"), claims.c.message_id == bindparam("message_id"))
)
UNCLAIM = delete(claims).where(claims.c.person == bindparam("whose"), claims.c.message_id == bindparam("used"))
KNOWN = (
    select(claims.c.message_id)
    .where(
        claims.c.person == bindparam("person"),
        claims.c.message_id.in_(bindparam("message_ids", expanding=True)),
        claims.c.created_at > bindparam("since"),
    )
    .limit(1)
)

APPEND = insert(entries)
AFTER = (
    select(entries)
    .where(entries.c.conversation_id == bindparam("key"), entries.c.offset > bindparam("edge"))
    .order_by(entries.c.offset)
    .limit(bindparam("most"))
)
BEFORE = (
    select(entries)
    .where(entries.c.conversation_id == bindparam("key"), entries.c.offset < bindparam("edge"))
    .order_by(entries.c.offset.desc())
    .limit(bindparam("most"))
)
OWNER = select(conversations.c.lease_owner).where(BY_ID, conversations.c.lease_until > bindparam("now"))
WAITING_ROWS = (
    select(entries)
    .where(
        entries.c.conversation_id == bindparam("key"),
        entries.c.offset > bindparam("answered"),
        entries.c.question.is_(None),
    )
    .order_by(entries.c.offset)
)
OLDEST_WAITING = WAITING_ROWS.limit(1)
QUESTIONS = WAITING_ROWS.where(entries.c.offset <= bindparam("last"))
LINE = WAITING_ROWS.with_only_columns(
    entries.c.offset, entries.c.message_id, entries.c.created_at, entries.c.quiet, entries.c.cancelled
)
REPLY_TO = select(entries).where(
    entries.c.conversation_id == bindparam("key"),
    entries.c.question == bindparam("asked"),
    entries.c.offset > bindparam("asked"),
)

NOTE = insert(steps)
STEPS = select(steps).where(steps.c.conversation_id == bindparam("key")).order_by(steps.c.number)
FORGET_STEPS = delete(steps).where(steps.c.conversation_id == bindparam("key"))

OF_PERSON = notes.c.person == bindparam("person")
NOTED_BEFORE = select(notes.c.number).where(OF_PERSON, notes.c.note_key == bindparam("note_key"))
NEWEST_NOTE = select(func.max(notes.c.number)).where(OF_PERSON)
ADD_NOTE = insert(notes)
FORGET_NOTES = delete(notes).where(notes.c.person == bindparam("whose"), notes.c.number <= bindparam("edge"))
FORGET_ALL_NOTES = delete(notes).where(notes.c.person == bindparam("whose"))
NOTES = (
    select(notes.c.text, notes.c.created_at).where(OF_PERSON).order_by(notes.c.number.desc()).limit(bindparam("most"))
)

LIVING = nodes.c.alive_until > bindparam("now")
ALIVE = select(nodes.c.url).where(nodes.c.url == bindparam("node"), LIVING)
DIE = delete(nodes).where(nodes.c.url == bindparam("node"))
LIVE = insert(nodes)
DEAD = select(nodes.c.url).where(nodes.c.alive_until <= bindparam("before"))
BURY_NODE = DIE.where(nodes.c.alive_until <= bindparam("before"))
CONNECT = insert(connections)
DISCONNECT = delete(connections).where(connections.c.id == bindparam("key"))
THERE = (
    select(connections.c.id, connections.c.person, connections.c.node)
    .join(nodes, nodes.c.url == connections.c.node)
    .where(connections.c.expires_at > bindparam("now"), LIVING)
)
PLACES = THERE.where(connections.c.person == bindparam("person"))
PLACE = THERE.where(connections.c.id == bindparam("key"))
OF_NODE = connections.c.node == bindparam("node")
DISCONNECT_NODE = delete(connections).where(OF_NODE)

WAITS = (
    (entries.c.conversation_id == bindparam("key"))
    & (entries.c.offset > bindparam("edge"))
    & entries.c.question.is_(None)
)
CANCEL_WAITING = update(entries).where(WAITS).values(cancelled=True)
CANCEL_SOME = update(entries).where(WAITS, entries.c.offset <= bindparam("last")).values(cancelled=True)

SIGNED_OUT_SINCE = select(sign_outs).where(sign_outs.c.at > bindparam("moment")).order_by(sign_outs.c.at)
FORGET_SIGN_OUT = delete(sign_outs).where(sign_outs.c.person == bindparam("who"))
SIGN_OUT = insert(sign_outs)

BURY = insert(dead_letters)
LETTERS = (
    select(
        dead_letters,
        entries.c.message_id,
        func.coalesce(dead_letters.c.text, entries.c.text).label("question_text"),
        entries.c.created_at.label("asked_at"),
    )
    .join(
        entries,
        (entries.c.conversation_id == dead_letters.c.conversation_id) & (entries.c.offset == dead_letters.c.offset),
    )
    .order_by(dead_letters.c.created_at.desc(), dead_letters.c.offset.desc())
)
NEWEST_LETTERS = LETTERS.limit(bindparam("most"))
IS_LETTER = (dead_letters.c.conversation_id == bindparam("key")) & (dead_letters.c.offset == bindparam("asked"))
LETTER = LETTERS.where(IS_LETTER)
UNBURY = delete(dead_letters).where(IS_LETTER)


def changes(*columns: str) -> Any:
    """An update of one conversation; its values are bound under the columns' names, the id as `key`."""
    return update(conversations).where(BY_ID).values({column: bindparam(column) for column in columns})


ACCEPTED = changes("head", "waiting", "created_at", "updated_at")
LEASED = changes("attempt", "lease_owner", "lease_until", "tries")
RENEWED = changes("lease_until")
ANSWERED = changes(
    "head", "answered", "waiting", "tries", "failures", "due_at", "lease_until", "updated_at", "steps", "through"
)
FAILED = changes("failures", "lease_until", "due_at")
DUE = changes("due_at")
BEGUN = changes("through")
NOTED = changes("steps")
BOUND = changes("thread")
VOID_LEASES = update(conversations).where(conversations.c.lease_until > 0).values(lease_until=0)


@dataclass(frozen=True, slots=True)
class Gone:
    """What is to go, in pieces: the keys of `most` of it; and its end, if it is to go still.

    By keys, because MySQL takes no limit in a subselect, and may read the whole table where that hides in another.
    """

    found: Select[Any]
    gone: Delete


def going(table: Table, which: ColumnElement[bool], *order: Column[int]) -> Gone:
    keys = table.primary_key.columns
    found = select(*keys).where(which).order_by(*order).limit(bindparam("most"))
    return Gone(found, delete(table).where(tuple_(*keys).in_(bindparam("keys", expanding=True)), which))


def aging(age: Column[int]) -> Gone:
    """What is older than `before`, the oldest first."""
    return going(age.table, age < bindparam("before"), age)


OLD_CLAIMS = aging(claims.c.created_at)
OLD_SIGN_OUTS = aging(sign_outs.c.at)
OLD_RECEIPTS = aging(receipts.c.at)
OLD_ACCOUNTS = aging(accounts.c.until)
OLD_WRITERS = aging(writers.c.at)
OLD_CONNECTIONS = aging(connections.c.expires_at)
CONNECTIONS_OF_NODE = going(connections, OF_NODE)
