"""What is done while the store is open, and, for a process that has it to itself, first of all."""

from __future__ import annotations

import asyncio

from server.backends.sql import statements as sql
from server.backends.sql.base import SqlBase
from server.bulkhead import bulkhead

CLAIM_DAYS = 7
SIGN_OUT_DAYS = 31
RECEIPT_DAYS = 30
WRITER_DAYS = 7
DAY_MS = 86_400_000
# No two processes' clocks differ by so much: what one has written is not over before that for another.
CLOCKS_MS = 600_000
FORGET_SECONDS = 3600.0
KEPT_MS = (
    (sql.OLD_CLAIMS, CLAIM_DAYS * DAY_MS),
    (sql.OLD_SIGN_OUTS, SIGN_OUT_DAYS * DAY_MS),
    (sql.OLD_RECEIPTS, RECEIPT_DAYS * DAY_MS),
    (sql.OLD_ACCOUNTS, 0),
    (sql.OLD_WRITERS, WRITER_DAYS * DAY_MS),
    (sql.OLD_CONNECTIONS, CLOCKS_MS),
)


class SqlUpkeep(SqlBase):
    async def run(self, forget_seconds: float = FORGET_SECONDS) -> None:
        """Until cancelled."""
        while True:
            with bulkhead("upkeep_failed"):
                await self.forget()
            await asyncio.sleep(forget_seconds)

    async def forget(self) -> None:
        """Let go of what is older than the promise to remember it, and of what dead processes held."""
        for aging, kept_ms in KEPT_MS:
            await self._let_go(aging, before=self._now() - kept_ms)
        await self._forget_nodes(self._now() - CLOCKS_MS)

    async def _forget_nodes(self, before: int) -> None:
        dead = await self._database.read(lambda connection: connection.execute(sql.DEAD, {"before": before}).all())
        for row in dead:
            await self._forget_node(row.url, before)

    async def _forget_node(self, url: str, before: int) -> None:
        """The process itself last: one that lives after all hears of it with its next beat."""
        await self._let_go(sql.CONNECTIONS_OF_NODE, node=url)
        values = {"node": url, "before": before}
        await self._database.write(lambda connection: connection.execute(sql.BURY_NODE, values))

    async def void_leases(self) -> None:
        """End every lease at once. Only for the one process that has the database to itself.

        What was lent to a sender stays so: its message may still be on its way, and nobody knows of it yet.
        """
        await self._database.write(lambda connection: connection.execute(sql.VOID_LEASES))
