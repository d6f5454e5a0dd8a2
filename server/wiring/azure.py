"""SMS through Azure: who may deliver events, and what sends texts."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from server.auth.entra import KEYS, EntraCallers
from server.auth.keys import JwksKeys
from server.channels.azure_sms import NAME
from server.errors import ConfigError, Refused, Unauthorized
from server.model.splitter import sms_parts
from server.ports import Catalog, Sender
from server.settings import Settings


class Guard:
    """Who may deliver events: whoever knows one of the secrets, or comes with a token for one of the callers."""

    def __init__(self, secrets: tuple[str, ...], callers: EntraCallers | None, *, is_open: bool) -> None:
        self._secrets = tuple(secret.encode() for secret in secrets if secret)
        self._callers = callers
        self._is_open = is_open

    async def check(self, secret: str | None, token: str | None) -> None:
        """Raises `Unauthorized`; `Unavailable` for a token that cannot be judged now."""
        if self._is_open:
            return
        if self._secrets and secret is not None:
            self._check_secret(secret)
        elif self._callers is not None and token is not None:
            await self._callers.verify(token)
        else:
            raise Unauthorized(
                "Event Grid must say who it is: x-eventgrid-secret, ?secret=, or a token of Entra ID.", code="no_token"
            )

    def _check_secret(self, secret: str) -> None:
        given = secret.encode(errors="replace")
        if not any(hmac.compare_digest(given, known) for known in self._secrets):
            raise Unauthorized("This is not the secret of this webhook.", code="bad_secret")


@dataclass(frozen=True)
class AzureSms:
    """`number` is ours."""

    number: str
    guard: Guard
    senders: Mapping[str, Sender]


async def open_azure_sms(settings: Settings, catalog: Catalog, stack: AsyncExitStack) -> AzureSms | None:
    """None where it is not set up. Raises `ConfigError` if AZURE_SMS_ASSISTANT_ID names nobody."""
    if not settings.uses_azure_sms:
        return None
    try:
        await catalog.check(settings.azure_sms_assistant_id)
    except Refused as error:
        raise ConfigError(f"AZURE_SMS_ASSISTANT_ID={settings.azure_sms_assistant_id}: {error.message}") from None
    # Azure's libraries take their time to load: only who uses them waits for them.
    from server.channels.azure_sms.sender import open_sender

    sender = await stack.enter_async_context(
        open_sender(
            connection_string=settings.azure_communication_service_connection_string.get_secret_value(),
            endpoint=settings.azure_communication_service_endpoint,
            number=settings.phone_number,
            split=lambda text, links: sms_parts(text, settings.sms_segments, links),
            seconds=settings.azure_sms_seconds,
        )
    )
    return AzureSms(settings.phone_number, await open_guard(settings, stack), {NAME: sender})


async def open_guard(settings: Settings, stack: AsyncExitStack) -> Guard:
    secrets = (settings.event_grid_secret, settings.event_grid_secret_previous)
    callers = await open_callers(settings, stack) if settings.entra_tenant_id else None
    is_open = settings.unsafe_open_event_grid and not (settings.event_grid_secret.get_secret_value() or callers)
    return Guard(tuple(one.get_secret_value() for one in secrets), callers, is_open=is_open)


async def open_callers(settings: Settings, stack: AsyncExitStack) -> EntraCallers:
    authority, tenant = settings.entra_authority, settings.entra_tenant_id
    keys = await stack.enter_async_context(JwksKeys(f"{authority}/{tenant}", document=KEYS))
    await keys.hydrate()
    return EntraCallers(authority, tenant, settings.entra_app_id, frozenset(settings.entra_caller_app_ids), keys)
