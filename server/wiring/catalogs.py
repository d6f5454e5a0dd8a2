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

# By whom the small model that ships speaks in their place.
OFFLINE = {"assistant": "offline-demo", "debate": "offline-debate"}

logger = structlog.get_logger()


async def open_catalog(settings: Settings, store: Store) -> Catalog:
    """Raises `ConfigError` if ASSISTANT_ID, or that of a channel, names none."""
    shipped = shipped_for(settings)
    catalog = StoredCatalog(store, store, shipped, default=settings.assistant_id, stage=settings.stage)
    await check(catalog, settings, "ASSISTANT_ID", shipped)
    await check(catalog, settings, "HTTP_CHAT_ASSISTANT_ID", shipped)
    if settings.engine == "threads":
        await warn_unless_mirrored(catalog, settings)
    return catalog


async def check(catalog: Catalog, settings: Settings, setting: str, shipped: Mapping[str, Definition]) -> None:
    name = getattr(settings, setting.lower())
    try:
        await catalog.check(name)
    except Refused as error:
        raise ConfigError(
            f"{setting}={name}: {error.message} Take one that ships ({', '.join(sorted(shipped))}),"
            f" or make it: python -m assistant_scripts.create_assistant FILE --stage {settings.stage}"
        ) from None


async def warn_unless_mirrored(catalog: Catalog, settings: Settings) -> None:
    name = settings.assistant_id
    if (await catalog.find(name, websocket.NAME)).provider_id is None:
        made = f"python -m assistant_scripts.create_assistant {name.partition('@')[0]} --stage {settings.stage}"
        logger.error("assistant_not_mirrored", assistant=name, hint=f"the provider does not have it; run {made}")


def shipped_for(settings: Settings) -> Mapping[str, Definition]:
    """The offline model has words of its own for some assistants, and no other model has them."""
    shipped = dict(read_shipped())
    offline = {name: shipped.pop(stand_in) for name, stand_in in OFFLINE.items()}
    if not settings.uses_embedded_model:
        return shipped
    return {**shipped, **offline, **{one.name: one for one in offline.values()}}
