"""SMS and WhatsApp through Twilio: `webhook` comes in, `sender` goes out; nothing else knows Twilio."""

from __future__ import annotations

from server.channels.twilio.client import PUBLIC_API, open_client
from server.channels.twilio.sender import Terms, TwilioSms, TwilioWhatsApp
from server.channels.twilio.signature import Signatures
from server.channels.twilio.webhook import Delivery, Webhook

__all__ = ["PUBLIC_API", "Delivery", "Signatures", "Terms", "TwilioSms", "TwilioWhatsApp", "Webhook", "open_client"]
