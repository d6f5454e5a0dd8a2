"""Who asks, and in which conversation: a person with a token, or somebody who has nothing but a conversation's id.

A conversation without a person belongs to its id. What is handed out is `<id in the store>.<secret>`: the secret is 128
bits, its hash names the person whose conversation it is, and only the hash is ever stored. So it is found on every
store as a person's conversation is, its id cannot be guessed, and nobody with a token is that person.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass

from starlette.types import Scope

from server.entrypoints.gate import bearer_of, header, verified
from server.errors import BadInput, NotFound
from server.inbox.accept import MESSAGE_ID
from server.model import REQUEUED, Principal, nobodys
from server.wiring.server import Server

STORED_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
SECRET = re.compile(r"[0-9a-f]{32}")
SHORTEST_KEY = 22
KEY_HEADER = "idempotency-key"
# For as long as any request of theirs may wait.
NOBODY_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Asker:
    """`conversation_id` as the store knows it, None for a new one; `secret` is what its name adds to that, for people
    without a token.
    """

    who: Principal
    message_id: str
    conversation_id: str | None
    secret: str | None = None

    def name_of(self, conversation_id: str) -> str:
        """What is handed out."""
        return f"{conversation_id}.{self.secret}" if self.secret else conversation_id


async def principal_of(server: Server, scope: Scope) -> Principal | None:
    """None for somebody without a token, where that is allowed. Raises `Unauthorized`."""
    token = bearer_of(scope)
    if token is None and header(scope, b"authorization") is None and server.settings.http_chat_public:
        return None
    return await verified(server, token)


def key_of(scope: Scope) -> str | None:
    """The client's own idempotency key, with or without the quotes of a structured header. Raises `BadInput`."""
    given = header(scope, KEY_HEADER.encode())
    if given is None:
        return None
    key = given.strip()
    key = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not MESSAGE_ID.fullmatch(key) or key.startswith(REQUEUED):
        raise BadInput(
            f"Idempotency-Key must be 1 to 64 of A-Z a-z 0-9 _ - and not begin with {REQUEUED}; a UUID is one.",
            code="bad_idempotency_key",
        )
    return key


def new_key() -> str:
    return secrets.token_hex(16)


def somebody(who: Principal, key: str, conversation_id: str | None) -> Asker:
    if conversation_id is not None and not STORED_ID.fullmatch(conversation_id):
        raise unknown()
    return Asker(who, key, conversation_id)


def nobody(key: str, conversation_id: str | None) -> Asker:
    """A new conversation's secret is made of the key, so that whoever sends the same request again finds it."""
    stored, secret = parts_of(conversation_id) if conversation_id is not None else (None, secret_of(key))
    who = Principal(nobodys(digest("person", secret)[:40]), "public", int(time.time()) + NOBODY_SECONDS)
    return Asker(who, f"p_{digest('message', key)[:40]}", stored, secret)


def parts_of(name: str) -> tuple[str, str]:
    stored, _, secret = name.partition(".")
    if not STORED_ID.fullmatch(stored) or not SECRET.fullmatch(secret):
        raise unknown()
    return stored, secret


def secret_of(key: str) -> str:
    if len(key) < SHORTEST_KEY:
        raise BadInput(
            f"Without a token, who knows the Idempotency-Key has the conversation that it begins: make it random, of at"
            f" least {SHORTEST_KEY} characters, such as a UUID.",
            code="bad_idempotency_key",
        )
    return digest("secret", key)[:32]


def digest(purpose: str, text: str) -> str:
    return hashlib.sha256(f"http_chat {purpose} {text}".encode()).hexdigest()


def unknown() -> NotFound:
    return NotFound("No such conversation; leave conversation_id out to begin one.", code="unknown_conversation")
