"""Channels to phones."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from server.settings.kinds import E164, GUID, Url, Words, is_private
from server.settings.people import PeopleSettings


class PhoneSettings(PeopleSettings):
    """Twilio, Azure, and what texts may cost."""

    twilio_account_sid: str = Field(
        "", pattern=r"^(AC[0-9a-f]{32})?$", description="SMS and WhatsApp: the account at Twilio"
    )
    twilio_auth_token: SecretStr = Field(SecretStr(""), description="its auth token")
    twilio_auth_token_previous: SecretStr = Field(
        SecretStr(""), description="the one before, while it is changed: webhooks signed with it are still taken"
    )
    twilio_phone_number: str = Field("", pattern=E164, description="our number for SMS, e.g. +15005550006")
    twilio_whatsapp_number: str = Field("", pattern=E164, description="our number for WhatsApp; unset: no WhatsApp")
    twilio_whatsapp_template: str = Field(
        "", pattern=r"^(HX[0-9a-f]{32})?$", description="ContentSid of what is sent later than a day after a message"
    )
    twilio_api_url: Url = Field("https://api.twilio.com", description="where Twilio's API is; another for tests")
    twilio_settle_seconds: float = Field(
        30, ge=0, le=600, description="until Twilio is asked whether it took a message that it was silent about"
    )
    sms_assistant_id: str = Field("", description="who answers SMS; unset: ASSISTANT_ID")
    whatsapp_assistant_id: str = Field("", description="who answers on WhatsApp; unset: ASSISTANT_ID")
    sms_allow_list: Words = Field(
        (), description="who may text: numbers (+15005550006), their beginnings (+1500*), countries (US); unset: all"
    )
    session_hours: float = Field(24, gt=0, le=8760, description="how long a conversation by phone lasts")
    text_pause_seconds: float = Field(2, ge=0, le=60, description="texts that follow within it are answered together")
    texts_per_minute: int = Field(10, ge=0, description="from one number; 0: no limit")
    texts_per_day: int = Field(100, ge=0, description="from one number; 0: no limit")
    texts_per_hour: int = Field(0, ge=0, description="from all numbers; 0: no limit")
    segments_per_day: int = Field(
        0, ge=0, description="what replies and notices may cost in all, reserved beforehand; 0: no limit"
    )
    sms_segments: int = Field(3, ge=1, le=100, description="what one reply may cost as SMS; the rest is cut")
    whatsapp_messages: int = Field(
        3, ge=1, le=100, description="in how many messages a reply may come; the rest is cut"
    )
    text_validity_seconds: int = Field(
        600, ge=1, le=36_000, description="how long a message may wait at Twilio to be sent"
    )

    azure_communication_service_connection_string: SecretStr = Field(
        SecretStr(""), description="SMS through Azure: endpoint=https://...;accesskey=..."
    )
    azure_communication_service_endpoint: Url = Field(
        "", description="instead: its address alone, and the identity that this machine has at Azure"
    )
    phone_number: str = Field("", pattern=E164, description="our number at Azure, e.g. +15005550006")
    event_grid_secret: SecretStr = Field(
        SecretStr(""), description="what Event Grid sends along: header x-eventgrid-secret, or ?secret= of its webhook"
    )
    event_grid_secret_previous: SecretStr = Field(
        SecretStr(""), description="the one before, while it is changed: events with it are still taken"
    )
    entra_tenant_id: str = Field("", pattern=GUID, description="instead: Event Grid comes with tokens of this tenant")
    entra_app_id: str = Field("", pattern=GUID, description="which app of the tenant we are: the tokens' audience")
    entra_caller_app_ids: Words = Field(
        ("4962773b-9cdb-44cf-a8bf-237846a00ab7",), description="apps whose tokens are taken; the default is Event Grid"
    )
    entra_authority: Url = Field("https://login.microsoftonline.com", description="who signs the tokens")
    event_grid_bytes: int = Field(
        1024 * 1024, ge=1024, le=16 * 1024 * 1024, description="longest delivery of Event Grid's"
    )
    azure_sms_assistant_id: str = Field("screening", description="who answers SMS through Azure")
    azure_sms_seconds: float = Field(8, gt=0, le=60, description="how long Azure may take to accept a text")
    admin_group: str = Field("admin", min_length=1, description="whose members see and delete anyone's conversations")

    unsafe_open_event_grid: bool = Field(False, description="true: anyone may deliver events, and make us send texts")

    @field_validator("sms_allow_list")
    @classmethod
    def is_allow_list(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            if not re.fullmatch(r"\+[1-9][0-9]{0,14}\*?|[A-Z]{2}", entry):
                raise ValueError(f"{entry} is no number (+15005550006), begin of one (+1500*), or country (US)")
        return entries

    @model_validator(mode="after")
    def is_twilio(self) -> Self:
        secret = self.twilio_auth_token.get_secret_value()
        numbers = self.twilio_phone_number or self.twilio_whatsapp_number
        if not (self.twilio_account_sid or secret or numbers):
            return self
        for name, value in (("TWILIO_ACCOUNT_SID", self.twilio_account_sid), ("TWILIO_AUTH_TOKEN", secret)):
            if not value:
                raise ValueError(f"{name} is missing; Twilio needs it with the other TWILIO_ settings")
        if not numbers:
            raise ValueError("TWILIO_PHONE_NUMBER is missing, and TWILIO_WHATSAPP_NUMBER; Twilio needs one of them")
        if not self.public_url:
            raise ValueError("PUBLIC_URL is missing; Twilio signs its requests to it, and calls it back there")
        for name, url in (("PUBLIC_URL", self.public_url), ("TWILIO_API_URL", self.twilio_api_url)):
            if not is_private(url):
                raise ValueError(f"{name}={url} would show messages to everybody on the way; begin it with https://")
        return self

    @model_validator(mode="after")
    def is_azure_sms(self) -> Self:
        if not self.uses_azure_sms:
            if self.phone_number:
                raise ValueError(
                    "PHONE_NUMBER needs AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING or"
                    " AZURE_COMMUNICATION_SERVICE_ENDPOINT; a number at Twilio is TWILIO_PHONE_NUMBER"
                )
            return self
        if not self.phone_number:
            raise ValueError("PHONE_NUMBER is missing; it is your number at Azure, which texts are sent from")
        address = self.azure_communication_service_endpoint
        if address and not is_private(address):
            raise ValueError(
                "AZURE_COMMUNICATION_SERVICE_ENDPOINT would show texts to everybody; begin it with https://"
            )
        return self

    @model_validator(mode="after")
    def is_event_grid(self) -> Self:
        if bool(self.entra_tenant_id) != bool(self.entra_app_id):
            missing = "ENTRA_APP_ID" if self.entra_tenant_id else "ENTRA_TENANT_ID"
            raise ValueError(f"{missing} is missing; Entra ID needs ENTRA_TENANT_ID and ENTRA_APP_ID")
        knows_event_grid = self.event_grid_secret.get_secret_value() or self.entra_tenant_id
        if self.uses_azure_sms and not knows_event_grid and not self.unsafe_open_event_grid:
            raise ValueError(
                "EVENT_GRID_SECRET is missing, and ENTRA_TENANT_ID: anyone could deliver events, and make you send"
                " texts; set one of them, or UNSAFE_OPEN_EVENT_GRID=true"
            )
        return self

    @property
    def uses_azure_sms(self) -> bool:
        by_key = self.azure_communication_service_connection_string.get_secret_value()
        return bool(by_key or self.azure_communication_service_endpoint)

    @property
    def uses_twilio(self) -> bool:
        return bool(self.twilio_account_sid)
