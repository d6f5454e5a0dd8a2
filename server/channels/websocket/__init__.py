"""The socket, both directions: bytes to actions, events to frames. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html import escape
from typing import TypeAlias, assert_never, get_args

import msgspec
from markdown_it import MarkdownIt

from server import model
from server.channels.websocket import frames
from server.errors import BadInput, ServerError
from server.model import Frame, reply_id

NAME = "websocket"

# The key of a file to a link to it that is good from now on. Computes, and waits for nothing.
Sign: TypeAlias = Callable[[str], str]

decoder: msgspec.json.Decoder[frames.ClientFrame] = msgspec.json.Decoder(frames.ClientFrame)
encoder = msgspec.json.Encoder()
markdown = MarkdownIt("commonmark", {"html": False}).disable("image")


class Envelope(msgspec.Struct):
    """What an error frame quotes of a frame that is not in order."""

    action: str | None = None
    messageId: str | None = None  # noqa: N815


envelope_decoder = msgspec.json.Decoder(Envelope)
ACTIONS = sorted(action.__struct_config__.tag for action in get_args(frames.ClientFrame))


def parse(text: str | bytes) -> frames.ClientFrame:
    """Raises `BadInput` that says what is wrong with the frame."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        what = str(error)
        if "action`" in what:
            raise BadInput(f"Unknown action; use one of {', '.join(ACTIONS)}.", code="unknown_action") from None
        raise BadInput(f"The frame does not fit its action: {what}.", code="bad_frame") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise BadInput('The frame is not JSON; send e.g. {"action":"ping"}.', code="bad_json") from None


def envelope(text: str | bytes) -> Envelope:
    """Whatever can be told of a frame that did not parse."""
    try:
        return envelope_decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Envelope()


def write(frame: frames.ServerFrame, *, conversation_id: str = "", offset: int = 0, turn: int = 0) -> Frame:
    delta = isinstance(frame, frames.AssistantDelta | frames.ToolCall)
    return Frame(encoder.encode(frame), conversation_id, offset, turn, delta)


def encode(event: model.Event, sign: Sign) -> Frame:
    """An event as every device of the person gets it, with links to its pictures that begin to run out now."""
    match event:
        case model.Delta(conversation_id, question, at, text):
            delta = frames.AssistantDelta(conversation_id, reply_id(conversation_id, question), at, text)
            # The most frequent by far: made at one go.
            return Frame(encoder.encode(delta), conversation_id, 0, question, True, at, at + len(text))
        case model.Accepted():
            return accepted(event)
        case model.RunStarted(conversation_id, question, assistant):
            reply = reply_id(conversation_id, question.offset)
            started = frames.RunStarted(conversation_id, question.message_id, reply, assistant)
            return write(started, conversation_id=conversation_id, turn=question.offset)
        case model.ToolUsed(conversation_id, question, name, status):
            used = frames.ToolCall(conversation_id, reply_id(conversation_id, question), name, status)
            return write(used, conversation_id=conversation_id, turn=question)
        case model.Replied(conversation_id, stored):
            return replied(conversation_id, stored, sign)
        case _:
            assert_never(event)


def accepted(event: model.Accepted) -> Frame:
    frame = frames.MessageAccepted(event.message_id, event.conversation_id, event.offset, event.text, event.duplicate)
    return write(frame, conversation_id=event.conversation_id, offset=event.offset)


def replied(conversation_id: str, reply: model.Reply, sign: Sign) -> Frame:
    frame = response(conversation_id, reply, sign)

    @cache
    def with_html() -> bytes:
        return encoder.encode(msgspec.structs.replace(frame, html=html(frame.message, frame.images)))

    whole = write(frame, conversation_id=conversation_id, offset=reply.offset, turn=reply.question)
    plain = replace(whole, through=reply.last)
    return plain if frame.error else replace(plain, end=len(reply.draft.text), rich=with_html)


def response(conversation_id: str, reply: model.Reply, sign: Sign) -> frames.AssistantResponse:
    draft = reply.draft
    return frames.AssistantResponse(
        error=draft.code is not None,
        message=draft.text,
        conversation_id=conversation_id,
        message_id=reply.message_id,
        reply_id=reply_id(conversation_id, reply.question),
        offset=reply.offset,
        finish_reason=draft.finish_reason,
        usage=frames.TokenUsage(draft.usage.input_tokens, draft.usage.output_tokens) if draft.usage else None,
        code=draft.code,
        retryable=draft.retryable if draft.code else None,
        images=tuple(map(sign, draft.images)),
        message_ids=reply.message_ids or None,
    )


def html(text: str, images: Sequence[str] = ()) -> str:
    """CommonMark, then our own pictures. Raw HTML is shown as text, links go to the web or mail only, and no picture
    that the text names loads by itself.
    """
    shown = (f'<p><img src="{escape(url)}" alt="" referrerpolicy="no-referrer"></p>\n' for url in images)
    return str(markdown.render(text)) + "".join(shown)


def replay(conversation_id: str, entry: model.Entry, sign: Sign) -> Frame:
    """An entry of the log as the frame that announced it."""
    match entry:
        case model.Reply():
            return replied(conversation_id, entry, sign)
        case model.Question(offset, message_id, text, created_at):
            return accepted(model.Accepted(conversation_id, message_id, offset, text, created_at))
        case _:
            assert_never(entry)


def connected(
    connection_id: str, who: model.Principal, conversation: model.Conversation, limits: frames.Limits
) -> Frame:
    return write(
        frames.Connected(
            connection_id,
            who.person,
            conversation.epoch,
            conversation.id,
            conversation.offset,
            iso(who.expires_at_seconds * 1000),
            limits,
        )
    )


def history(conversation_id: str, page: model.Page, sign: Sign) -> Frame:
    entries = [history_entry(entry, sign) for entry in page.entries]
    return write(frames.HistoryPage(conversation_id, entries, page.more))


def history_entry(entry: model.Entry, sign: Sign) -> frames.HistoryEntry:
    match entry:
        case model.Question(offset, message_id, text, created_at):
            return frames.HistoryEntry(offset, "user", text, message_id, iso(created_at))
        case model.Reply(offset, _, message_id, draft, created_at, message_ids):
            return frames.HistoryEntry(
                offset,
                "assistant",
                draft.text,
                message_id,
                iso(created_at),
                draft.code,
                message_ids=message_ids or None,
                images=tuple(map(sign, draft.images)),
            )
        case _:
            assert_never(entry)


def opened(new: model.Conversation) -> Frame:
    return write(frames.ConversationOpened(new.id, new.assistant, new.epoch, new.offset, iso(new.created_at)))


def conversations(found: Sequence[model.Conversation]) -> Frame:
    return write(
        frames.Conversations(
            [
                frames.ConversationEntry(one.id, one.assistant, iso(one.created_at), iso(one.updated_at), one.offset)
                for one in found
            ]
        )
    )


def snapshot(so_far: model.Snapshot) -> Frame:
    reply = reply_id(so_far.conversation_id, so_far.question)
    return write(frames.AssistantSnapshot(so_far.conversation_id, so_far.message_id, reply, so_far.text))


def resumed(conversation: model.Conversation, *, recovered: bool) -> Frame:
    return write(frames.Resumed(conversation.id, conversation.epoch, recovered, conversation.offset))


def refused(error: ServerError, text: str | bytes) -> Frame:
    about = envelope(text)
    wait = None if error.retry_after is None else int(error.retry_after * 1000)
    return write(
        frames.ErrorFrame(
            error.code,
            error.message,
            error.retryable,
            wait,
            about.action and about.action[:64],
            about.messageId and about.messageId[:64],
        )
    )


def token_expiring(expires_at_seconds: int) -> Frame:
    return write(frames.TokenExpiring(iso(expires_at_seconds * 1000)))


def token_refreshed(who: model.Principal) -> Frame:
    return write(frames.TokenRefreshed(iso(who.expires_at_seconds * 1000)))


def disconnecting(after_ms: int) -> Frame:
    return write(frames.Disconnecting(reconnect=True, after_ms=after_ms))


def pong() -> Frame:
    return write(frames.Pong())


def iso(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
