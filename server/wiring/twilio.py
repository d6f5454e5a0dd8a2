"""SMS and WhatsApp through Twilio."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from server.channels.twilio import Signatures, Terms, TwilioSms, TwilioWhatsApp, Webhook, open_client
from server.ports import Sender
from server.settings import Settings

TEXTS = "/webhooks/twilio"
STATUS = "/webhooks/twilio/status"
# WhatsApp's rule is a day; what is sent in its last minutes might come too late.
WINDOW_SECONDS = 24 * 3600 - 300


@dataclass(frozen=True)
class Twilio:
    """Both directions."""

    webhook: Webhook
    senders: Mapping[str, Sender]


async def open_twilio(settings: Settings, stack: AsyncExitStack) -> Twilio | None:
    """None where Twilio is not set up."""
    if not settings.uses_twilio:
        return None
    senders = await open_senders(settings, stack)
    tokens = (settings.twilio_auth_token, settings.twilio_auth_token_previous)
    signatures = Signatures([token.get_secret_value() for token in tokens])
    return Twilio(Webhook(settings.public_url, settings.twilio_account_sid, signatures, tuple(senders)), senders)


async def open_senders(settings: Settings, stack: AsyncExitStack) -> Mapping[str, Sender]:
    client = await stack.enter_async_context(
        open_client(settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value(), settings.twilio_api_url)
    )
    senders: dict[str, Sender] = {}
    if settings.twilio_phone_number:
        terms = terms_of(settings, settings.sms_segments)
        senders["sms"] = TwilioSms(client, settings.twilio_phone_number, terms, time.time)
    if settings.twilio_whatsapp_number:
        senders["whatsapp"] = TwilioWhatsApp(
            client,
            settings.twilio_whatsapp_number,
            terms_of(settings, settings.whatsapp_messages),
            time.time,
            template=settings.twilio_whatsapp_template,
            window_seconds=WINDOW_SECONDS,
        )
    return senders


def terms_of(settings: Settings, budget: int) -> Terms:
    return Terms(settings.public_url + STATUS, budget, settings.text_validity_seconds, settings.twilio_settle_seconds)
