"""Who may connect, and how much they may ask."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from server.settings.kinds import Url, Words
from server.settings.models import ModelSettings


class PeopleSettings(ModelSettings):
    """Tokens, origins, limits."""

    cognito_user_pool_id: str = Field("", description="e.g. eu-west-1_AbCdEf123; unset: the local user pool")
    cognito_client_ids: Words = Field((), description="app clients whose tokens are accepted, comma-separated")
    cognito_issuer_url: Url = Field("", description="issuer, where it is not Cognito's own (emulators)")
    allowed_origins: Words = Field((), description="browser origins besides our own, comma-separated")

    http_chat_public: bool = Field(False, description="true: POST /api/chat without a token, too")
    http_chat_assistant_id: str = Field("debate", description="who answers there: name, name@stage or name@version")
    http_chat_seconds: float = Field(25, gt=0, le=3600, description="how long a request waits there for its answer")
    http_chat_stream_seconds: float = Field(300, gt=0, le=3600, description="the same, of one that is streamed")
    http_chat_when_busy: Literal["enqueue", "reject"] = Field(
        "enqueue", description="reject: 409 while the conversation waits for an answer"
    )
    http_chat_per_minute: int = Field(
        20, ge=0, description="requests of one address without a token, at one process; 0: no limit"
    )
    http_chat_waiting: int = Field(1_000, ge=1, description="requests that may wait at this process at the same time")
    http_chat_waiting_each: int = Field(32, ge=1, description="those of one person, or of one address without a token")
    trusted_proxies: Words = Field(
        (), description="addresses or networks whose X-Forwarded-For is believed, comma-separated"
    )

    message_bytes: int = Field(32 * 1024, ge=1, le=64 * 1024, description="longest message, as UTF-8")
    messages_per_minute: int = Field(
        60, ge=0, description="of one person at one process; texts have limits of their own; 0: no limit"
    )
    connections_per_person: int = Field(10, ge=0, description="open sockets of one person; 0: no limit")
    connections: int = Field(20_000, ge=1, description="open sockets of this process, and HTTP chats that wait")
    waiting_per_conversation: int = Field(100, ge=1, description="messages that may wait for their answer")
    connection_buffer_bytes: int = Field(1024 * 1024, ge=64 * 1024, description="unread frames kept for a slow reader")
    delta_window_ms: float = Field(25, ge=0, le=1000, description="words that follow within it go out together")
    ping_seconds: float = Field(25, gt=0, description="how often a socket is asked whether it lives")
    pong_seconds: float = Field(10, gt=0, description="how long it may take to answer that")
    handshake_seconds: float = Field(10, gt=0, description="how long a client may take to say what it wants")
    turns: int = Field(256, ge=1, description="conversations that this process answers at the same time")
    drain_seconds: float = Field(10, ge=0, le=15, description="how long turns under way may go on when it stops")
    # With the sweep that finds the conversation then, less than 45.
    lease_seconds: float = Field(
        30, ge=1, le=39, description="how long a silent worker keeps a conversation; 39 at most"
    )

    @field_validator("trusted_proxies")
    @classmethod
    def are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for one in proxies:
            try:
                ip_network(one)
            except ValueError:
                raise ValueError(f"{one} is neither an address nor a network such as 10.0.0.0/8") from None
        return proxies

    @model_validator(mode="after")
    def is_pool(self) -> Self:
        if self.uses_local_pool and self.cognito_client_ids:
            raise ValueError("COGNITO_CLIENT_IDS without a pool; set COGNITO_USER_POOL_ID too")
        if not self.uses_local_pool and not self.cognito_client_ids:
            raise ValueError("COGNITO_CLIENT_IDS is missing; list the app clients whose tokens you accept")
        if self.cognito_user_pool_id and not self.cognito_issuer_url and "_" not in self.cognito_user_pool_id:
            raise ValueError("COGNITO_USER_POOL_ID has no region; it looks like eu-west-1_AbCdEf123")
        return self

    @property
    def uses_local_pool(self) -> bool:
        return not (self.cognito_user_pool_id or self.cognito_issuer_url)

    @property
    def issuer(self) -> str:
        """Cognito's; not for the local user pool, which has its own."""
        region = self.cognito_user_pool_id.partition("_")[0]
        return self.cognito_issuer_url or f"https://cognito-idp.{region}.amazonaws.com/{self.cognito_user_pool_id}"

    @property
    def keys_at(self) -> str:
        """Where the issuer publishes its keys, in `.well-known`. An emulator signs in Cognito's name."""
        emulated = self.aws_endpoint_url and self.cognito_user_pool_id and not self.cognito_issuer_url
        return f"{self.aws_endpoint_url}/{self.cognito_user_pool_id}" if emulated else self.issuer
