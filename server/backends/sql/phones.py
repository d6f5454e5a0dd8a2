"""What is known of phones: receipts, opt-outs, and what was spent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from server.backends.sql import rows
from server.backends.sql.base import SqlBase
from server.backends.sql.schema import accounts, opt_outs, receipts
from server.backends.sql.upkeep import RECEIPT_DAYS
from server.model import RANKS, Consent, Receipt, ReceiptStatus, after_opt_in, after_opt_out

OF_MESSAGE = (receipts.c.channel == bindparam("where")) & (receipts.c.provider_id == bindparam("which"))
KEPT = select(receipts).where(OF_MESSAGE)
KEEP = insert(receipts)
# Of its rank, or of one that is too old to count.
NEWS = (
    update(receipts)
    .where(
        OF_MESSAGE,
        receipts.c.status.in_(bindparam("before", expanding=True)) | (receipts.c.at <= bindparam("oldest")),
    )
    .values(status=bindparam("news"), code=bindparam("why"), at=bindparam("now"))
)

OF_PERSON = (opt_outs.c.person == bindparam("who")) & (opt_outs.c.channel == bindparam("where"))
CONSENT = select(opt_outs).where(OF_PERSON)
HOLD_CONSENT = CONSENT.with_for_update()
FIRST_CONSENT = insert(opt_outs)
CHANGE_CONSENT = (
    update(opt_outs)
    .where(OF_PERSON)
    .values(at=bindparam("said"), ended_by=bindparam("end"), begun_by=bindparam("begin"), heard=bindparam("words"))
)

NAMED = accounts.c.name == bindparam("which")
CHARGED = select(accounts.c.amount).where(NAMED)
OPEN = insert(accounts)
CHARGE = (
    update(accounts)
    .where(NAMED, accounts.c.amount <= bindparam("room"))
    .values(amount=accounts.c.amount + bindparam("more"), until=bindparam("end"))
)


class SqlPhones(SqlBase):
    """Implements the ports Receipts, OptOuts and Accounts. A row that two make at once is refused to one by the
    database, and done again by it as a change.
    """

    # --- Receipts ---

    async def keep_receipt(self, channel: str, provider_id: str, status: ReceiptStatus, code: str | None) -> bool:
        receipt = Receipt(channel, provider_id, status, code, self._now())
        return await self._database.write(lambda connection: self._keep_receipt(connection, receipt))

    def _keep_receipt(self, connection: Connection, new: Receipt) -> bool:
        place = {"where": new.channel, "which": new.provider_id}
        news = {"news": new.status, "why": new.code, "now": new.at, "oldest": self._oldest_receipt()}
        lower = [status for status, rank in RANKS.items() if rank < RANKS[new.status]]
        if connection.execute(NEWS, {**place, **news, "before": lower}).rowcount:
            return True
        if connection.execute(KEPT, place).first() is not None:
            return False
        row = {"channel": new.channel, "provider_id": new.provider_id, "status": new.status, "code": new.code}
        connection.execute(KEEP, {**row, "at": new.at})
        return True

    async def receipt(self, channel: str, provider_id: str) -> Receipt | None:
        place = {"where": channel, "which": provider_id}
        row = await self._database.read(lambda connection: connection.execute(KEPT, place).first())
        if row is None or row.at <= self._oldest_receipt():
            return None
        return Receipt(channel, provider_id, row.status, row.code, row.at)

    def _oldest_receipt(self) -> int:
        return self._now() - RECEIPT_DAYS * 86_400_000

    # --- OptOuts ---

    async def opt_out(self, person: str, channel: str, at: int, message_id: str = "") -> bool:
        new = await self._hear(person, channel, partial(after_opt_out, at=at, message_id=message_id))
        return new.was_begun_by(message_id)

    async def opt_in(self, person: str, channel: str, at: int, message_id: str) -> bool:
        new = await self._hear(person, channel, partial(after_opt_in, at=at, message_id=message_id))
        return new.ended_by == message_id

    async def _hear(self, person: str, channel: str, change: Callable[[Consent | None], Consent]) -> Consent:
        return await self._database.write(lambda connection: self._change_consent(connection, person, channel, change))

    def _change_consent(
        self, connection: Connection, person: str, channel: str, change: Callable[[Consent | None], Consent]
    ) -> Consent:
        place = {"who": person, "where": channel}
        row = connection.execute(HOLD_CONSENT, place).first()
        new = change(consent(row))
        begun_by, heard = new.begun_by or None, rows.column(new.heard)
        if row is None:
            first = {"person": person, "channel": channel, "at": new.at, "ended_by": new.ended_by}
            connection.execute(FIRST_CONSENT, {**first, "begun_by": begun_by, "heard": heard})
        else:
            changed = {"said": new.at, "end": new.ended_by, "begin": begun_by, "words": heard}
            connection.execute(CHANGE_CONSENT, {**place, **changed})
        return new

    async def opted_out(self, person: str, channel: str) -> bool:
        place = {"who": person, "where": channel}
        known = consent(await self._database.read(lambda connection: connection.execute(CONSENT, place).first()))
        return known is not None and known.opted_out

    # --- Accounts ---

    async def charge(self, account: str, amount: int, most: int, until: int) -> bool:
        return await self._database.write(lambda connection: self._charge(connection, account, amount, most, until))

    def _charge(self, connection: Connection, account: str, amount: int, most: int, until: int) -> bool:
        values = {"which": account, "more": amount, "room": most - amount, "end": until}
        if connection.execute(CHARGE, values).rowcount:
            return True
        if amount > most or connection.execute(CHARGED, {"which": account}).first() is not None:
            return False
        connection.execute(OPEN, {"name": account, "amount": amount, "until": until})
        return True

    async def charged(self, account: str) -> int:
        values = {"which": account}
        found = await self._database.read(lambda connection: connection.execute(CHARGED, values).scalar())
        return found or 0


def consent(row: Row[Any] | None) -> Consent | None:
    return None if row is None else Consent(row.at, row.ended_by, row.begun_by or "", rows.words(row.heard))
