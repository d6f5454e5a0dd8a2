"""Which assistants there are."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from server.assistant.catalog import StoredCatalog
from server.assistant.files import read_shipped
from server.channels import websocket
from server.errors import ConfigError, Refused
from server.model import Definition
from server.ports import Catalog
from server.settings import Settings
from server.wiring.stores import Store

DEMO = "offline-demo"

logger = structlog.get_logger()


async def open_catalog(settings: Settings, store: Store) -> Catalog:
    """Raises `ConfigError` if ASSISTANT_ID names none."""
    shipped = shipped_for(settings)
    catalog = StoredCatalog(store, store, shipped, default=settings.assistant_id, stage=settings.stage)
    try:
        await catalog.check(settings.assistant_id)
    except Refused as error:
        raise ConfigError(
            f"ASSISTANT_ID={settings.assistant_id}: {error.message} Take one that ships ({', '.join(sorted(shipped))}),"
            f" or make it: python -m assistant_scripts.create_assistant FILE --stage {settings.stage}"
        ) from None
    if settings.engine == "threads":
        await warn_unless_mirrored(catalog, settings)
    return catalog


async def warn_unless_mirrored(catalog: Catalog, settings: Settings) -> None:
    name = settings.assistant_id
    if (await catalog.find(name, websocket.NAME)).provider_id is None:
        made = f"python -m assistant_scripts.create_assistant {name.partition('@')[0]} --stage {settings.stage}"
        logger.error("assistant_not_mirrored", assistant=name, hint=f"the provider does not have it; run {made}")


def shipped_for(settings: Settings) -> Mapping[str, Definition]:
    """The offline demo model has words of its own for the general assistant, and no other model has them."""
    shipped = dict(read_shipped())
    demo = shipped.pop(DEMO)
    return {**shipped, DEMO: demo, "assistant": demo} if settings.uses_embedded_model else shipped
