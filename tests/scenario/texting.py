"""A server that texts through Azure, with all of Azure on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.fakes.azure_server import OURS, EventGrid, FakeAzure, Sent
from tests.scenario.process import ServerProcess, Start

SECRET = "event-grid-secret-canary"
ANNA, BEN = "+15005550006", "+15005550009"
QUICK = {"TEXT_PAUSE_SECONDS": "0.1", "POLL_FIRST_SECONDS": "0.05", "TEXTS_PER_MINUTE": "0"}


def azure_settings(azure: FakeAzure) -> dict[str, str]:
    return {
        "AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING": azure.connection_string,
        "PHONE_NUMBER": OURS,
        "EVENT_GRID_SECRET": SECRET,
        **QUICK,
    }


@dataclass(frozen=True)
class Texting:
    """Phones, Event Grid, and the server between them and Azure."""

    server: ServerProcess
    azure: FakeAzure
    grid: EventGrid

    async def text(self, text: str, sender: str = ANNA, **ids: str) -> httpx2.Response:
        return await self.grid.deliver(self.grid.text(sender, text, **ids))

    async def ask(self, text: str, sender: str = ANNA) -> Sent:
        """Its reply, which is one text."""
        before = len(self.azure.sent)
        answered = await self.text(text, sender)
        assert answered.status_code == 200, answered.text
        return (await self.azure.until_sent(before + 1))[before]

    def bearer(self, user: str = "operator", *groups: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.server.pool.token(user, groups=groups)}"}

    async def api(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        """As an administrator, unless it is said otherwise."""
        async with httpx2.AsyncClient(base_url=self.server.http, timeout=30) as http:
            known = self.bearer("operator", "admin") if headers is None else headers
            return await http.request(method, f"/api/conversations{path}", headers=known)

    async def said(self, number: str = ANNA) -> list[tuple[str, str]]:
        shown = await self.api("GET", f"/{number}")
        return [(one["role"], one["content"]) for one in shown.json().get("conversation", [])]


@asynccontextmanager
async def texting(start: Start, azure: FakeAzure, **settings: Any) -> AsyncIterator[Texting]:
    async with start(**{**azure_settings(azure), **settings}) as server:
        yield Texting(server, azure, EventGrid(server.http, SECRET))


async def until(holds: Callable[[], Any], seconds: float = 20) -> None:
    """Until what it gives, awaited, is true."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.05)
