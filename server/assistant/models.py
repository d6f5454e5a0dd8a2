"""Whether the provider will serve the configured models, now and for a while."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime

import msgspec
import openai
import structlog

from server.assistant.faults import provider_errors
from server.bulkhead import bulkhead
from server.errors import Unavailable

logger = structlog.get_logger()

WARNING_DAYS = 60
ASK_SECONDS = 10.0
SETTINGS = "OPENAI_MODEL or OPENAI_IMAGE_MODEL"


class Model(msgspec.Struct):
    """`shutdown_date`: the day it ends, where the provider says so."""

    id: str
    shutdown_date: date | None = None


class Models(msgspec.Struct):
    data: list[Model]


async def warn_of_models(client: openai.AsyncOpenAI, wanted: Collection[str], today: date | None = None) -> None:
    """Asks once. Nothing is refused: a provider may serve what it does not list."""
    with bulkhead("models_not_listed"):
        known = {model.id: model for model in await list_models(client)}
        for name in sorted(wanted):
            warn_of(name, known.get(name), today or datetime.now(UTC).date())


def warn_of(name: str, model: Model | None, today: date) -> None:
    if model is None:
        logger.warning("model_unknown", model=name, hint=f"the provider does not list it; see {SETTINGS}")
    elif model.shutdown_date is not None and (model.shutdown_date - today).days < WARNING_DAYS:
        logger.warning("model_ends", model=name, on=model.shutdown_date.isoformat(), hint=f"choose another {SETTINGS}")


async def list_models(client: openai.AsyncOpenAI) -> list[Model]:
    with provider_errors():
        response = await client.models.with_raw_response.list(timeout=ASK_SECONDS)
    try:
        return msgspec.json.decode(response.content, type=Models).data
    except (msgspec.MsgspecError, UnicodeError):
        raise Unavailable("The provider's list of models was garbled.", code="provider_garbled") from None
