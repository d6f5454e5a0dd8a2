"""A conversation as it is shown: every word once, questions before their replies. No I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from server.channels.websocket import frames
from server.entrypoints.chat.view import Kind, View

MOST_REMEMBERED = 64
ENDINGS = {
    "stop": "",
    "cancelled": "cancelled",
    "length": "cut off: it grew too long",
    "content_filter": "cut off by the provider's filter",
    "refusal": "the model would not answer",
}

Speech: TypeAlias = (
    frames.MessageAccepted
    | frames.RunStarted
    | frames.AssistantDelta
    | frames.AssistantSnapshot
    | frames.AssistantResponse
)


@dataclass(slots=True)
class Said:
    """A question without its reply. `accepted`: the server has it. Its text is empty until it is known."""

    message_id: str
    text: str
    mine: bool
    accepted: bool = False
    cancelled: bool = False
    cancel_sent: bool = False
    shown: bool = False


@dataclass(slots=True)
class Reply:
    """A reply under way, and its words shown so far. `torn`: the connection was lost since."""

    reply_id: str
    text: str = ""
    torn: bool = False


class Transcript:
    """Message ids that begin with `name` are ours."""

    def __init__(self, name: str, view: View) -> None:
        self.conversation_id = ""
        self.epoch = ""
        self._name = name
        self._view = view
        self._said: dict[str, Said] = {}
        self._reply: Reply | None = None
        self._begin_at(0)

    @property
    def unanswered(self) -> list[Said]:
        """In the order in which they are answered, as far as is known."""
        return list(self._said.values())

    @property
    def status(self) -> str:
        """In a few words; none when nothing is going on."""
        if not self._said:
            return ""
        first, *others = self.unanswered
        if first.cancelled:
            word = "cancelling"
        elif not first.accepted:
            word = "sending"
        else:
            word = "answering" if self._reply is not None and self._reply.text else "waiting"
        return f"{word}, {len(others)} more waiting" if others else word

    def resume(self) -> frames.Resume:
        """Asks for all that was not seen: what was seen is the log up to an offset."""
        return frames.Resume(self.conversation_id, self._offset, self.epoch or None)

    def open(self, conversation_id: str, epoch: str, offset: int) -> None:
        """Another conversation, from this offset on; what was not accepted yet comes along."""
        self.conversation_id, self.epoch = conversation_id, epoch
        self._begin_at(offset)
        self._said = {one.message_id: one for one in self.unanswered if one.mine and not one.accepted}

    def begin_again(self, epoch: str) -> list[Said]:
        """The log was replaced: it is shown from its start. Our questions that may not be in it any more."""
        self.epoch = epoch
        self._begin_at(0)
        lost = [one for one in self.unanswered if one.mine and one.accepted]
        self._said = {one.message_id: one for one in self.unanswered if one.mine}
        for one in lost:
            one.accepted = False
        return lost

    def cancel_next(self) -> Said | None:
        """The oldest question of which an answer is still wanted, and now is not."""
        said = next((one for one in self.unanswered if not one.cancelled), None)
        if said is not None:
            said.cancelled = True
        return said

    def to_cancel(self) -> list[Said]:
        """What the server has, and was not told on this connection that it is not wanted any more."""
        found = [one for one in self.unanswered if one.cancelled and one.accepted and not one.cancel_sent]
        for one in found:
            one.cancel_sent = True
        return found

    def tear(self) -> None:
        """The connection is lost."""
        for one in self.unanswered:
            one.cancel_sent = False
        if self._reply is not None:
            self._reply.torn = True

    def say(self, message_id: str, text: str) -> None:
        self._said[message_id] = Said(message_id, text, mine=True)
        self._introduce_next()

    def unsay(self, message_id: str) -> None:
        self._said.pop(message_id, None)
        self._introduce_next()

    def hear(self, frame: Speech) -> None:
        match frame:
            case frames.MessageAccepted():
                self._accepted(frame)
            case frames.RunStarted():
                self._forget(self._begun(frame.reply_id, frame.message_id))
            case frames.AssistantDelta():
                self._delta(frame)
            case frames.AssistantSnapshot():
                reply = self._begun(frame.reply_id, frame.message_id)
                self._forget(reply)
                self._speak(reply, frame.text)
            case frames.AssistantResponse():
                self._ended(frame)
            case _:
                assert_never(frame)

    def _accepted(self, frame: frames.MessageAccepted) -> None:
        expected = self._is_news(frame.offset) or frame.message_id in self._said
        if frame.message_id not in self._answered and expected:
            said = self._question(frame.message_id)
            said.accepted = True
            said.text = said.text or frame.text
            self._introduce_next()

    def _delta(self, frame: frames.AssistantDelta) -> None:
        """Words after a gap are left to the reply's end, which has them all."""
        reply = self._reply
        if reply is not None and reply.reply_id == frame.reply_id and frame.at <= len(reply.text):
            self._speak(reply, frame.text[len(reply.text) - frame.at :])

    def _ended(self, frame: frames.AssistantResponse) -> None:
        if not self._is_news(frame.offset):
            return
        reply = self._begun(frame.reply_id, frame.message_id)
        if frame.error:
            self._view.show(Kind.FAILURE, frame.message)
        else:
            self._complete(reply, frame.message)
            mine = self._is_mine(frame.message_id)
            self._view.show(Kind.REPLY if mine else Kind.FOREIGN_REPLY, frame.message)
            for link in frame.images:
                self._view.show(Kind.PICTURE if mine else Kind.FOREIGN_PICTURE, link)
            if early := ENDINGS.get(frame.finish_reason, frame.finish_reason):
                self._view.show(Kind.REMARK, early)
        self._reply = None
        for message_id in frame.message_ids or (frame.message_id,):
            self._answered.append(message_id)
            self.unsay(message_id)

    def _begin_at(self, offset: int) -> None:
        self._offset = offset
        self._ahead: set[int] = set()
        self._answered: deque[str] = deque(maxlen=MOST_REMEMBERED)
        self._reply = None

    def _is_mine(self, message_id: str) -> bool:
        return message_id.startswith(self._name)

    def _is_news(self, offset: int) -> bool:
        """Live frames can overtake each other by a place: what was seen is a beginning of the log, and some beyond."""
        if offset <= self._offset or offset in self._ahead:
            return False
        self._ahead.add(offset)
        while self._offset + 1 in self._ahead:
            self._offset += 1
            self._ahead.remove(self._offset)
        return True

    def _begun(self, reply_id: str, message_id: str) -> Reply:
        """The one under way, or a new one after its question."""
        if self._reply is None or self._reply.reply_id != reply_id:
            self._reply = Reply(reply_id)
            said = self._question(message_id)
            said.accepted = True
            self._said = {message_id: said, **self._said}
            self._introduce_next()
        return self._reply

    def _question(self, message_id: str) -> Said:
        return self._said.setdefault(message_id, Said(message_id, "", self._is_mine(message_id)))

    def _complete(self, reply: Reply, whole: str) -> None:
        if reply.torn or not whole.startswith(reply.text):
            self._forget(reply)
        self._speak(reply, whole[len(reply.text) :])

    def _forget(self, reply: Reply) -> None:
        if reply.text:
            self._view.show(Kind.ANEW, "the reply begins anew")
        reply.text, reply.torn = "", False

    def _speak(self, reply: Reply, words: str) -> None:
        if words:
            reply.text += words
            self._view.speak(words)

    def _introduce_next(self) -> None:
        """A question that waits behind another is shown when its turn comes."""
        said = next(iter(self._said.values()), None)
        if said is not None and said.text and not said.shown:
            said.shown = True
            self._view.show(Kind.QUESTION if said.mine else Kind.FOREIGN_QUESTION, said.text)
