"""The socket's language: every frame as a type. `/asyncapi.json` is made of these, so each says what it is.

Keys are camelCase on the wire. Unknown keys from a client are ignored. Times are ISO 8601, UTC.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

# What is none of these no store is asked for: some refuse it with an error, and with it what others write meanwhile.
WORD = "^[A-Za-z0-9_-]{1,64}$"

MessageId = Annotated[str, Meta(pattern=WORD, description="idempotency key, unique per person")]
ConversationId = Annotated[str, Meta(pattern=WORD)]
AssistantName = Annotated[str, Meta(pattern=WORD, description="which version answers is the server's choice")]
Limit = Annotated[int, Meta(ge=1, le=100)]
Offset = Annotated[int, Meta(ge=0, le=2**31 - 1, description="number of an entry in the conversation's log, from 1")]

Links = Annotated[tuple[str, ...], Meta(description="pictures; links end, history and resume give new ones")]


# --- client -> server ---------------------------------------------------------------------------------------------


class Action(Struct, frozen=True, tag_field="action", rename="camel"):
    pass


class SendMessage(Action, frozen=True, tag="sendMessage"):
    """Say something. Without a messageId the server makes one; with one, sending again is safe.

    `whenBusy`, while an earlier message waits for its answer: `enqueue` takes the place behind it, `interrupt` cancels
    what waits, `reject` is refused with the code `busy`.
    """

    message: str
    message_id: MessageId | None = None
    conversation_id: ConversationId | None = None
    when_busy: Literal["enqueue", "interrupt", "reject"] = "enqueue"


class Cancel(Action, frozen=True, tag="cancel"):
    """Want no answer any more, to the message named or to the one being answered. What was said is kept."""

    conversation_id: ConversationId | None = None
    message_id: MessageId | None = None


class History(Action, frozen=True, tag="history"):
    """A page of what was said, newest page first; `before` is the oldest offset you have."""

    conversation_id: ConversationId | None = None
    before: Offset | None = None
    limit: Limit = 50


class NewConversation(Action, frozen=True, tag="newConversation"):
    """Begin another conversation, with the assistant of this name if one is named; it becomes the current one."""

    assistant: AssistantName | None = None


class ListConversations(Action, frozen=True, tag="listConversations"):
    """Your conversations, the one last spoken in first."""

    limit: Limit = 50


class Resume(Action, frozen=True, tag="resume"):
    """Catch up with a conversation: what follows `after`, the last offset you saw, then live."""

    conversation_id: ConversationId
    after: Offset
    epoch: str | None = None


class RefreshToken(Action, frozen=True, tag="refreshToken"):
    """Stay connected with a newer token of the same person."""

    token: str


class Ping(Action, frozen=True, tag="ping"):
    """Are you there?"""


ClientFrame: TypeAlias = (
    SendMessage | Cancel | History | NewConversation | ListConversations | Resume | RefreshToken | Ping
)


# --- server -> client ---------------------------------------------------------------------------------------------


class Message(Struct, frozen=True, tag_field="messageType", rename="camel", omit_defaults=True):
    pass


class Limits(Struct, frozen=True, rename="camel"):
    message_bytes: int
    frame_bytes: int
    messages_per_minute: int
    history_limit: int = 100


class Connected(Message, frozen=True, tag="connected"):
    """The first frame. The socket is live from `offset` on."""

    connection_id: str
    user_id: str
    epoch: str
    conversation_id: str
    offset: int
    expires_at: str
    limits: Limits


class MessageAccepted(Message, frozen=True, tag="messageAccepted"):
    """The message is durable and will be answered. On every device of the person."""

    message_id: str
    conversation_id: str
    offset: int
    text: str
    duplicate: bool


class RunStarted(Message, frozen=True, tag="runStarted"):
    """A reply begins; with a replyId seen before, it begins anew."""

    conversation_id: str
    message_id: str
    reply_id: str
    assistant: str


class AssistantDelta(Message, frozen=True, tag="assistantDelta"):
    """Words of a reply; `at` counts the code points before them."""

    conversation_id: str
    reply_id: str
    at: int
    text: str


class ToolCall(Message, frozen=True, tag="toolCall"):
    """A tool is at work for a reply, or was. What it was asked, and said, stays between it and the model."""

    conversation_id: str
    reply_id: str
    name: str
    status: Literal["started", "done", "failed"]


class AssistantSnapshot(Message, frozen=True, tag="assistantSnapshot"):
    """All that was said so far of a reply under way; the deltas that follow go on from its end."""

    conversation_id: str
    message_id: str
    reply_id: str
    text: str


class TokenUsage(Struct, frozen=True, rename="camel"):
    input_tokens: int
    output_tokens: int


class AssistantResponse(Message, frozen=True, tag="assistantResponse"):
    """The one end of a turn: the whole reply, or with `error` what went wrong, in words for people and as a `code`.

    `finishReason`: stop, length, content_filter, refusal, cancelled or error.

    `messageIds`: of all the messages that it answers, where these are several; `messageId` is the first.
    """

    error: bool
    message: str
    conversation_id: str
    message_id: str
    reply_id: str
    offset: int
    finish_reason: str
    usage: TokenUsage | None = None
    code: str | None = None
    retryable: bool | None = None
    html: str | None = None
    message_ids: tuple[str, ...] | None = None
    images: Links = ()


class HistoryEntry(Struct, frozen=True, rename="camel", omit_defaults=True):
    offset: int
    role: Literal["user", "assistant"]
    text: str
    message_id: str
    created_at: str
    code: str | None = None
    message_ids: tuple[str, ...] | None = None
    images: Links = ()


class HistoryPage(Message, frozen=True, tag="history"):
    """Oldest first. `more`: there is an earlier page."""

    conversation_id: str
    messages: list[HistoryEntry]
    more: bool


class ConversationEntry(Struct, frozen=True, rename="camel"):
    conversation_id: str
    assistant: str
    created_at: str
    updated_at: str
    offset: int


class ConversationOpened(Message, frozen=True, tag="conversation"):
    """A new conversation, now this socket's."""

    conversation_id: str
    assistant: str
    epoch: str
    offset: int
    created_at: str


class Conversations(Message, frozen=True, tag="conversations"):
    """The one last spoken in first."""

    conversations: list[ConversationEntry]


class Resumed(Message, frozen=True, tag="resumed"):
    """What was missed follows, then live. Not `recovered`: forget what you have, the replay is from the start."""

    conversation_id: str
    epoch: str
    recovered: bool
    offset: int


class TokenExpiring(Message, frozen=True, tag="tokenExpiring"):
    """The socket is closed then, unless a newer token comes with refreshToken."""

    expires_at: str


class TokenRefreshed(Message, frozen=True, tag="tokenRefreshed"):
    """The newer token holds."""

    expires_at: str


class Disconnecting(Message, frozen=True, tag="disconnecting"):
    """The server is about to close the socket. `reconnect`: come back, after `afterMs`."""

    reconnect: bool
    after_ms: int


class ErrorFrame(Message, frozen=True, tag="error"):
    """An action failed. With the codes timeout, unavailable and internal nobody knows whether it took effect: send it
    again, a message with the same messageId. With any other it changed nothing.
    """

    code: str
    message: str
    retryable: bool
    retry_after_ms: int | None = None
    action: str | None = None
    message_id: str | None = None


class Pong(Message, frozen=True, tag="pong"):
    """Yes."""


ServerFrame: TypeAlias = (
    Connected
    | MessageAccepted
    | RunStarted
    | AssistantDelta
    | AssistantSnapshot
    | ToolCall
    | AssistantResponse
    | HistoryPage
    | ConversationOpened
    | Conversations
    | Resumed
    | TokenExpiring
    | TokenRefreshed
    | Disconnecting
    | ErrorFrame
    | Pong
)
