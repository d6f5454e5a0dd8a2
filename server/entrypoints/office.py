"""The operator's commands. They work on the store beside a running server, which finds what they did by itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from server.errors import BadInput
from server.model import DeadLetter, reply_id
from server.settings import Settings
from server.wiring.auth import local_pool
from server.wiring.stores import open_office

MOST_LISTED = 1_000


def sign_out(settings: Settings, user: str) -> None:
    """By name in the local user pool, else by the token's `sub`. Sockets close within seconds."""
    was_here = asyncio.run(_sign_out(settings, user))
    print(f"{user} is signed out: tokens issued until now are refused.")
    if not was_here:
        print(f"Note: nobody called {user} has ever connected to this server.", file=sys.stderr)


async def _sign_out(settings: Settings, user: str) -> bool:
    """Whether the person was ever here."""
    async with open_office(settings) as office:
        person = local_pool(settings).person(user) if settings.uses_local_pool else user
        await office.sign_out(person)
        return bool(await office.recent(person, 1))


def list_dead_letters(settings: Settings) -> None:
    letters = asyncio.run(_letters(settings))
    for letter in letters:
        print(f"{name_of(letter)}  {when(letter.created_at)}  {letter.code}  tries {letter.tries}")
    if not letters:
        print("There are no dead letters.")


async def _letters(settings: Settings) -> Sequence[DeadLetter]:
    async with open_office(settings) as office:
        return await office.dead_letters(MOST_LISTED)


def show_dead_letter(settings: Settings, name: str) -> None:
    letter = asyncio.run(_letter(settings, name))
    print(f"letter     {name_of(letter)}")
    print(f"person     {letter.person}")
    print(f"asked      {when(letter.question.created_at)}, message {letter.question.message_id}")
    print(f"gave up    {when(letter.created_at)}, {letter.code}, tries {letter.tries}")
    print(f"\n{letter.question.text}")


async def _letter(settings: Settings, name: str) -> DeadLetter:
    async with open_office(settings) as office:
        return await office.dead_letter(*parts_of(name))


def requeue_dead_letters(settings: Settings, names: Sequence[str]) -> None:
    """All, where none is named."""
    asyncio.run(_requeue(settings, names))


async def _requeue(settings: Settings, names: Sequence[str]) -> None:
    async with open_office(settings) as office:
        named = [await office.dead_letter(*parts_of(name)) for name in names]
        for letter in named or await office.dead_letters(MOST_LISTED):
            accepted = await office.requeue(letter)
            print(f"{name_of(letter)} is asked again as message {accepted.message_id}")


def name_of(letter: DeadLetter) -> str:
    return reply_id(letter.conversation_id, letter.question.offset)


def parts_of(name: str) -> tuple[str, int]:
    conversation_id, _, offset = name.rpartition("-")
    if not conversation_id or not offset.isdecimal():
        raise BadInput(f"{name!r} names no dead letter; `dead-letters list` shows them.")
    return conversation_id, int(offset)


def when(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
