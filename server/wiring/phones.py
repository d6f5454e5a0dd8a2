"""Replies out to phones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from server.delivery.courier import Courier, Sign
from server.delivery.outbox import Dispatcher
from server.errors import ProviderFailed
from server.metrics import Metrics
from server.ports import Sender
from server.settings import Settings
from server.wiring.stores import Store

NOBODY: Mapping[str, Sender] = MappingProxyType({})
# A sender may be asked for a message, and the pictures be signed, within one loan; and the store takes its time too.
CALLS_IN_A_LOAN = 3


@dataclass(frozen=True)
class Phones:
    """`dispatcher`: None where this process has no way to any phone."""

    dispatcher: Dispatcher | None

    def post(self, conversation_id: str) -> None:
        """A reply was filed there."""
        if self.dispatcher is not None:
            self.dispatcher.look(conversation_id)


def open_phones(
    settings: Settings,
    store: Store,
    metrics: Metrics,
    *,
    owner: str,
    senders: Mapping[str, Sender] = NOBODY,
    sign: Sign | None = None,
) -> Phones:
    """`senders` by their channels; `sign` makes the URL where a provider fetches a picture."""
    if not senders:
        return Phones(None)
    call_seconds = settings.lease_seconds / CALLS_IN_A_LOAN
    courier = Courier(store, store, senders, sign or no_pictures, metrics, call_seconds=call_seconds)
    return Phones(Dispatcher(store, courier, owner=owner))


def no_pictures(_key: str, _at: int) -> str:
    raise ProviderFailed("This server has no pictures to send.", code="no_pictures")
