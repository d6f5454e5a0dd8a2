"""Which assistant people talk to."""

from __future__ import annotations

from server.assistant.catalog import ShippedCatalog
from server.assistant.definition import SHIPPED
from server.assistant.local_model import DEMO_EXAMPLES, DEMO_INSTRUCTIONS
from server.model import Definition, Exchange
from server.ports import Catalog
from server.settings import Settings
from server.wiring.stores import Store

DEMO = Definition(
    name="offline-demo",
    instructions=DEMO_INSTRUCTIONS,
    examples=tuple(Exchange(question, reply) for question, reply in DEMO_EXAMPLES),
    temperature=0,
)


async def open_catalog(settings: Settings, _store: Store) -> Catalog:
    return ShippedCatalog({one.name: one for one in (SHIPPED, DEMO)}, assistant_id(settings))


def assistant_id(settings: Settings) -> str:
    return DEMO.name if settings.uses_embedded_model else settings.assistant_id
