"""A conversation as it is shown: every word once, questions before their replies. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from server.channels.websocket import frames
from server.entrypoints.chat.effects import Anew, Asked, Ended, Show, Spoken

MOST_REMEMBERED = 64


@dataclass(slots=True)
class Said:
    """A question without its reply. `accepted`: the server has it. Its text is empty until it is known."""

    message_id: str
    text: str
    mine: bool
    accepted: bool = False
    cancelled: bool = False
    shown: bool = False


@dataclass(slots=True)
class Reply:
    """A reply under way, and its words shown so far. `torn`: the connection was lost since."""

    reply_id: str
    message_id: str
    text: str = ""
    torn: bool = False


class Transcript:
    """Message ids that begin with `name` are ours."""

    def __init__(self, name: str, show: Callable[[Show], None]) -> None:
        self.conversation_id = ""
        self._epoch = ""
        self.reply: Reply | None = None
        self._name = name
        self._show = show
        self._said: dict[str, Said] = {}
        self._offset = 0
        self._ahead: set[int] = set()
        self._ended: deque[str] = deque(maxlen=MOST_REMEMBERED)

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
            word = "answering" if self.reply is not None and self.reply.text else "waiting"
        return f"{word}, {len(others)} more waiting" if others else word

    def resume(self) -> frames.Resume:
        """Asks for all that was not seen: what was seen is the log up to an offset."""
        return frames.Resume(self.conversation_id, self._offset, self._epoch)

    def find(self, message_id: str) -> Said | None:
        return self._said.get(message_id)

    def open(self, conversation_id: str, epoch: str, offset: int) -> None:
        """Another conversation, from this offset on; what was not accepted yet comes along."""
        self.conversation_id, self._epoch = conversation_id, epoch
        self._begin_at(offset)
        self._said = {one.message_id: one for one in self.unanswered if one.mine and not one.accepted}

    def begin_again(self, epoch: str) -> list[Said]:
        """The log was replaced: it is shown from its start. Our questions that may not be in it any more."""
        self._epoch = epoch
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

    def tear(self) -> None:
        """The connection is lost."""
        if self.reply is not None:
            self.reply.torn = True

    def say(self, message_id: str, text: str) -> None:
        self._said[message_id] = Said(message_id, text, mine=True)
        self._introduce_next()

    def unsay(self, message_id: str) -> None:
        self._said.pop(message_id, None)
        self._introduce_next()

    def accepted(self, frame: frames.MessageAccepted) -> None:
        expected = self._is_news(frame.offset) or frame.message_id in self._said
        if frame.message_id in self._ended or not expected:
            return
        said = self._question(frame.message_id)
        said.accepted = True
        if not said.text:
            said.text = frame.text
        self._introduce_next()

    def started(self, frame: frames.RunStarted) -> None:
        self._forget(self._reply(frame.reply_id, frame.message_id))

    def delta(self, frame: frames.AssistantDelta) -> None:
        """Words after a gap are left to the reply's end, which has them all."""
        reply = self.reply
        if reply is not None and reply.reply_id == frame.reply_id and frame.at <= len(reply.text):
            self._speak(reply, frame.text[len(reply.text) - frame.at :])

    def snapshot(self, frame: frames.AssistantSnapshot) -> None:
        reply = self._reply(frame.reply_id, frame.message_id)
        self._forget(reply)
        self._speak(reply, frame.text)

    def ended(self, frame: frames.AssistantResponse) -> None:
        if not self._is_news(frame.offset):
            return
        reply = self._reply(frame.reply_id, frame.message_id)
        if not frame.error:
            self._complete(reply, frame.message)
        mine = frame.message_id.startswith(self._name)
        self._show(Ended(frame.message, frame.finish_reason, mine, frame.error))
        self.reply = None
        self._ended.append(frame.message_id)
        self.unsay(frame.message_id)

    def _begin_at(self, offset: int) -> None:
        self._offset = offset
        self._ahead.clear()
        self._ended.clear()
        self.reply = None

    def _is_news(self, offset: int) -> bool:
        """Live frames can overtake each other by a place: what was seen is a beginning of the log, and some beyond."""
        if offset <= self._offset or offset in self._ahead:
            return False
        self._ahead.add(offset)
        while self._offset + 1 in self._ahead:
            self._offset += 1
            self._ahead.remove(self._offset)
        return True

    def _reply(self, reply_id: str, message_id: str) -> Reply:
        """The one under way, or a new one after its question."""
        if self.reply is None or self.reply.reply_id != reply_id:
            self.reply = Reply(reply_id, message_id)
            said = self._question(message_id)
            said.accepted = True
            self._said = {message_id: said, **self._said}
            self._introduce_next()
        return self.reply

    def _question(self, message_id: str) -> Said:
        return self._said.setdefault(message_id, Said(message_id, "", message_id.startswith(self._name)))

    def _complete(self, reply: Reply, whole: str) -> None:
        if reply.torn or not whole.startswith(reply.text):
            self._forget(reply)
        self._speak(reply, whole[len(reply.text) :])

    def _forget(self, reply: Reply) -> None:
        if reply.text:
            self._show(Anew())
        reply.text, reply.torn = "", False

    def _speak(self, reply: Reply, words: str) -> None:
        if words:
            reply.text += words
            self._show(Spoken(words))

    def _introduce_next(self) -> None:
        """A question that waits behind another is shown when its turn comes."""
        said = next(iter(self._said.values()), None)
        if said is not None and said.text and not said.shown:
            said.shown = True
            self._show(Asked(said.text, said.mine))
