"""What each HTTP route takes and answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from server.channels import http_chat
from server.entrypoints.described.parts import (
    JSON,
    Document,
    Json,
    Nothing,
    body,
    header,
    parameter,
    reference,
    refusals,
    route,
)
from server.entrypoints.schemas import Alive, EventsRefused, EventsTaken, Health, Ready
from server.entrypoints.shapes import ConversationList, ConversationShown, Deleted

TOKEN: Final[Json] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
SECURITY: Final[Json] = {
    "token": TOKEN,
    "clusterSecret": {"type": "http", "scheme": "bearer", "description": "CLUSTER_SECRET"},
    "eventGridSecret": {"type": "apiKey", "in": "header", "name": "X-EventGrid-Secret"},
    "eventGridSecretInUrl": {"type": "apiKey", "in": "query", "name": "secret"},
    "entra": {**TOKEN, "description": "A token of Microsoft Entra ID, of ENTRA_TENANT_ID and for ENTRA_APP_ID"},
}
PERSONS: Final[Json] = {"security": [{"token": []}]}

# --- conversations ---

PATH_NAME = parameter(
    "name",
    "path",
    description="its id; or for administrators a phone number, e.g. +15005550006: all that this phone has",
)
LIMIT = parameter("limit", "query", "integer")
LIST_CONVERSATIONS = {
    **route(
        "Your conversations; for administrators the phones too",
        {"200": ConversationList, **refusals("400", "401", "403", "503")},
    ),
    "parameters": [parameter("after", "query"), LIMIT],
    **PERSONS,
}
NOT_YOURS = refusals("400", "401", "403", "404", "503")
SHOW_CONVERSATION = {
    **route("What was said", {"200": ConversationShown, **NOT_YOURS}),
    "parameters": [PATH_NAME, parameter("before", "query"), LIMIT],
    **PERSONS,
}
DELETE_CONVERSATION = {
    **route(
        "Forget a conversation, and all that was said in it",
        {"200": Deleted, "204": Nothing("It is gone."), **NOT_YOURS},
    ),
    "parameters": [PATH_NAME],
    **PERSONS,
}

# --- Twilio ---

SIGNED = parameter("X-Twilio-Signature", "header", required=True)
UNTAKEN = refusals("400", "403", "413", "503")


def posted_form(*fields: str) -> Json:
    """Of Twilio's many fields those that are read."""
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in fields}}
    return body({"application/x-www-form-urlencoded": schema})


TWILIO_TEXT = {
    **route("Twilio: a text came in; 503 asks for it again", {"200": Document(["text/xml"]), **UNTAKEN}),
    "parameters": [SIGNED],
    "requestBody": posted_form("MessageSid", "AccountSid", "From", "To", "Body", "NumMedia"),
}
TWILIO_STATUS = {
    **route("Twilio: what became of a message of ours", {"204": Nothing("Noted."), **UNTAKEN}),
    "parameters": [SIGNED],
    "requestBody": posted_form("MessageSid", "AccountSid", "To", "MessageStatus", "ErrorCode"),
}

# --- Event Grid ---

EVENTS = {"description": "Events of Event Grid's schema, or of CloudEvents 1.0", "type": ["object", "array"]}
EVENT_KINDS = (JSON, "application/cloudevents+json", "application/cloudevents-batch+json")
BINARY = "of a CloudEvent in binary mode, whose data are the body"
DELIVER_EVENTS = {
    **route(
        "Azure Event Grid: texts, delivery reports, the handshake; 503 asks for them again",
        {"200": EventsTaken, **refusals("400", "401", "403", "413", "503", kind=EventsRefused)},
    ),
    "parameters": [
        parameter(f"ce-{name}", "header", description=BINARY) for name in ("specversion", "id", "type", "time")
    ],
    "requestBody": body(dict.fromkeys(EVENT_KINDS, EVENTS)),
    "security": [{"eventGridSecret": []}, {"eventGridSecretInUrl": []}, {"entra": []}],
}
WELCOME = {
    "WebHook-Allowed-Origin": header("who asked", required=True),
    "WebHook-Allowed-Rate": header("* for as fast as it likes", required=True),
    "Allow": header("how events are delivered", required=True),
}
WELCOME_EVENTS = {
    **route(
        "CloudEvents' handshake",
        {"200": Nothing("They may be delivered."), **refusals("400", kind=EventsRefused)},
        headers={"200": WELCOME},
    ),
    "parameters": [parameter("WebHook-Request-Origin", "header", required=True)],
}

# --- the chat ---

KEY_SENT: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sent again with the same key, a request waits for the same answer, and nothing is said twice. Every"
    " answer carries the key: yours, or the one that was made. Without a token, and to begin a conversation, it must be"
    " random, of 22 characters or more: who knows it has the conversation.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}
KEY = "the request's, or the one that was made for it"
FOR_PAGES = {
    "Access-Control-Allow-Origin": header("of a page that may ask"),
    "Access-Control-Expose-Headers": header("what such a page may read"),
    "Vary": header("Origin, for such a page"),
}
CHAT_STATUSES = ("400", "401", "403", "404", "408", "409", "413", "415", "422", "429", "502", "503")
STREAM = {
    "type": "string",
    "description": "Events: accepted (ChatBegun), delta (ChatDelta), restart (ChatRestart); the last one is done"
    " (ChatAnswer) or error (ErrorBody). The deltas since the last restart, joined, are the answer.",
}
CHAT = {
    **route(
        "Say something, and wait for the answer; with Accept: text/event-stream, as it is spoken",
        {"200": http_chat.ChatAnswer, **refusals(*CHAT_STATUSES)},
        headers={
            "200": {
                "Idempotency-Key": header(KEY, required=True),
                "Cache-Control": header("of a stream"),
                "X-Accel-Buffering": header("of a stream"),
            }
        },
        always={"Idempotency-Key": header(KEY), **FOR_PAGES},
    ),
    "parameters": [KEY_SENT],
    "requestBody": body({JSON: reference(http_chat.ChatRequest)}),
    "security": [{"token": []}, {}],
}
CHAT["responses"]["200"]["content"]["text/event-stream"] = {"schema": STREAM}
ASK_FOR_CHAT = route(
    "May a page of another origin ask?",
    {"204": Nothing("It may."), **refusals("403")},
    headers={
        "204": {
            f"Access-Control-{name}": header("of such a page's requests", required=True)
            for name in ("Allow-Methods", "Allow-Headers", "Max-Age")
        }
    },
    always=FOR_PAGES,
)

# --- files, and processes ---

UNCACHED = {"Cache-Control": header("no-store", required=True)}
SHOWN = {
    "Cache-Control": header("for as long as the link is good", required=True),
    "Content-Disposition": header("inline for what browsers show and never run", required=True),
    **{
        name: header("what a browser may do with it", required=True)
        for name in (
            "Content-Security-Policy",
            "Cross-Origin-Resource-Policy",
            "Referrer-Policy",
            "X-Content-Type-Options",
        )
    },
}
GET_FILE = {
    **route(
        "A picture, by the link that a reply has",
        {"200": Document(["image/jpeg", "image/png"], "It."), **refusals("403", "404", "410", "503")},
        headers={"200": SHOWN, **dict.fromkeys(("403", "404", "410", "503"), UNCACHED)},
    ),
    "parameters": [
        parameter("key", "path"),
        parameter("until", "query", "integer", required=True),
        parameter("sig", "query", required=True),
    ],
}
PUSH = {
    **route(
        "Send a frame, as it is, to a socket that any process holds",
        {
            "200": Nothing("It has reached the process that holds the socket."),
            "410": Nothing("The socket is closed."),
            **refusals("400", "403", "413", "503"),
        },
    ),
    "parameters": [parameter("connection_id", "path")],
    "requestBody": body({JSON: {}}),
    "security": [{"clusterSecret": []}],
}

# By path and method. Those that processes have between them, in MessagePack, are not for others.
OPERATIONS: Final[Mapping[str, Mapping[str, Json]]] = {
    "/": {"get": route("What is running here", {"200": Health})},
    "/healthz": {"get": route("Is the process alive?", {"200": Alive})},
    "/readyz": {"get": route("Is it ready for clients?", {"200": Ready, "503": Ready})},
    "/metrics": {"get": route("Figures, in Prometheus' text format", {"200": Document(["text/plain"])})},
    "/api/chat": {"post": CHAT, "options": ASK_FOR_CHAT},
    "/api/conversations": {"get": LIST_CONVERSATIONS},
    "/api/conversations/{name}": {"get": SHOW_CONVERSATION, "delete": DELETE_CONVERSATION},
    "/webhooks/twilio": {"post": TWILIO_TEXT},
    "/webhooks/twilio/status": {"post": TWILIO_STATUS},
    "/api/sms/webhook": {"post": DELIVER_EVENTS, "options": WELCOME_EVENTS},
    "/files/{key}": {"get": GET_FILE},
    "/@connections/{connection_id}": {"post": PUSH},
    "/asyncapi.json": {"get": route("The socket, described", {"200": Document([JSON])})},
    "/openapi.json": {"get": route("This", {"200": Document([JSON])})},
}
