"""What an operator does to a running system: sign people out, look after dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from server.backends.dynamodb import keys, texts, values
from server.backends.dynamodb.base import ttl
from server.backends.dynamodb.errors import contend, read_and_change
from server.backends.dynamodb.items import Key, key_of
from server.backends.dynamodb.runs import DynamoRuns
from server.backends.dynamodb.table import delete, put
from server.errors import NotFound
from server.model import Accepted, DeadLetter, InboundMessage, SignOut, requeued_id

SIGN_OUT_DAYS = 31


class DynamoOffice(DynamoRuns):
    """Implements the ports SignOuts and DeadLetters, beside those of the store."""

    async def sign_out(self, person: str) -> None:
        key = keys.sign_out(person, self._now())
        await contend(lambda: self._table.transact(put({**key._asdict(), "ttl": ttl(SIGN_OUT_DAYS)})))

    async def signed_out_since(self, moment: int) -> Sequence[SignOut]:
        found = await self._table.query(
            "#pk = :pk AND #sk >= :first", pk=keys.SIGN_OUTS, first=keys.sign_out("", max(moment, 0) + 1).sk
        )
        latest = dict(reversed(item["sk"].split("#", 1)) for item in found)
        return [SignOut(person, int(at)) for person, at in latest.items()]

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        listed = await asyncio.gather(*(self._letters_in(number, limit) for number in range(keys.SHARDS)))
        newest = sorted((key for some in listed for key in some), key=by_age, reverse=True)[:limit]
        return await self._letters([keys.listed_letter(key) for key in newest])

    async def _letters_in(self, number: int, limit: int) -> Sequence[Key]:
        found = await self._table.query("#pk = :pk", backwards=True, most=limit, pk=keys.letters(number))
        return [key_of(item) for item in found]

    async def dead_letter(self, conversation_id: str, offset: int) -> DeadLetter:
        found = await self._letters([keys.letter(conversation_id, offset)])
        if not found:
            raise NotFound("There is no such dead letter.")
        return found[0]

    async def _letters(self, places: Sequence[Key]) -> Sequence[DeadLetter]:
        """Each with its questions."""
        first = [keys.entry(keys.conversation_id(key), keys.offset(key)) for key in places]
        found = await self._table.get_many([*places, *first])
        asked = {key: values.asked_in(found[key]) for key in places if key in found}
        found |= await self._table.get_many([entry for entries in asked.values() for entry in entries[1:]])
        await texts.unpack(self._table, [found[key] for entries in asked.values() for key in entries if key in found])
        return [
            values.letter(found[key], [values.question(found[entry]) for entry in entries])
            for key, entries in asked.items()
            if all(entry in found for entry in entries)
        ]

    async def requeue(self, letter: DeadLetter) -> Accepted:
        message = InboundMessage(letter.person, letter.conversation_id, requeued_id(letter), letter.question.text)
        gone = [delete(key) for key in places_of(letter)]
        async with self._in_turn(letter.conversation_id):
            accepted = await read_and_change(lambda: self._accept(message, *gone))
        if accepted.duplicate:
            await contend(lambda: self._table.transact(*gone))
        return accepted


def by_age(listing: Key) -> tuple[int, int]:
    return int(listing.sk.partition("#")[0]), keys.offset(listing)


def places_of(letter: DeadLetter) -> tuple[Key, Key]:
    conversation_id, question = letter.conversation_id, letter.question.offset
    return (
        keys.letter(conversation_id, question),
        keys.letter_listing(conversation_id, question, letter.created_at),
    )
