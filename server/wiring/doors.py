"""The door for people at a phone."""

from __future__ import annotations

import time

from server.channels import azure_sms
from server.inbox.accept import Inbox
from server.inbox.limits import Limits
from server.inbox.numbers import AllowList
from server.inbox.phones import PhoneDoor
from server.ports import Album
from server.settings import Settings
from server.wiring.stores import Store

HOUR = 3_600


def make_door(settings: Settings, store: Store, inbox: Inbox, album: Album | None) -> PhoneDoor:
    assistants = {"sms": settings.sms_assistant_id, "whatsapp": settings.whatsapp_assistant_id}
    return PhoneDoor(
        inbox,
        conversations=store,
        claims=store,
        opt_outs=store,
        accounts=store,
        allowed=AllowList(settings.sms_allow_list),
        limits=limits_of(settings),
        assistants={
            **{channel: assistant or settings.assistant_id for channel, assistant in assistants.items()},
            azure_sms.NAME: settings.azure_sms_assistant_id,
        },
        album=album,
        session_seconds=settings.session_hours * HOUR,
        pause_seconds=settings.text_pause_seconds,
        clock=time.time,
    )


def limits_of(settings: Settings) -> Limits:
    on_whatsapp = bool(settings.twilio_whatsapp_number)
    return Limits(
        per_minute=settings.texts_per_minute,
        per_day=settings.texts_per_day,
        per_hour_in_all=settings.texts_per_hour,
        segments_per_day=settings.segments_per_day,
        segments_per_reply=max(settings.sms_segments, settings.whatsapp_messages if on_whatsapp else 0),
    )
