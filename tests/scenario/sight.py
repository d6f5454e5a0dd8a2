"""What one socket saw, held against itself and against the log that was kept."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import assert_never

from server.model import Entry, Question, Reply
from tests.scenario.harms import Harm, Kind, Ledgers
from tests.scenario.history import Asked, Frame, Got, Sent, Settled, Socket

# A snapshot: the last words of a reply that was followed, before the whole of it. That a socket is about to end is told
# at any time.
REPLAYED = {"messageAccepted", "assistantResponse", "assistantSnapshot", "disconnecting", "tokenExpiring"}


@dataclass(slots=True)
class Span:
    """The offsets of a conversation from a `connected` or a `resumed` on: all that follow `base`, once, in order.

    `promised`: the newest one when it began. `complete`: up to which it can be told that all must have been seen.
    """

    base: int
    promised: int = 0
    complete: int = 0
    seen: list[int] = field(default_factory=list)

    def is_replayed(self) -> bool:
        """Whether all that was promised was shown, and what came next shows that it is through."""
        return self.complete >= self.promised and set(range(self.base + 1, self.promised + 1)) <= set(self.seen)

    def faults(self) -> Iterator[tuple[Kind, str]]:
        upto = max([self.complete, *self.seen])
        if missing := set(range(self.base + 1, upto + 1)) - set(self.seen):
            yield Kind.GAP, f"after {self.base}, offsets {sorted(missing)} of {upto} were not shown"
        twice = [offset for offset, times in Counter(self.seen).items() if times > 1]
        twice += [offset for offset in self.seen if offset <= self.base]
        if twice:
            yield Kind.DOUBLED, f"offsets {sorted(twice)} were shown again"
        once = list(dict.fromkeys(self.seen))
        if swapped := [(earlier, later) for earlier, later in pairwise(once) if later < earlier and later > self.base]:
            yield Kind.REORDERED, f"offsets came as {swapped}"


@dataclass(slots=True)
class Speech:
    """The words of a reply as they came. `begun`: a `runStarted` or a snapshot came before them."""

    said: str = ""
    begun: bool = False
    broken: bool = False
    ended: bool = False

    def takes(self, at: int) -> bool:
        return self.begun and at == len(self.said)

    def fits(self, message: str, *, whole: bool) -> bool:
        return message == self.said if whole else message.startswith(self.said)


class Sight:
    """Give it a socket's events in order, then `end` it; `harms` is what was wrong."""

    def __init__(self, socket: Socket, ledgers: Ledgers) -> None:
        self.harms: list[Harm] = []
        self._socket = socket
        self._ledgers = ledgers
        self._spans: dict[str, Span] = {}
        self._speeches: dict[str, Speech] = {}
        self._resumes: deque[Asked] = deque()

    def watch(self) -> list[Harm]:
        for event in self._socket.events:
            match event:
                case Sent():
                    pass
                case Asked():
                    self._resumes.append(event)
                case Got(frame):
                    self._frame(frame)
                case Settled():
                    self._settled()
                case _:
                    assert_never(event)
        for conversation_id in list(self._spans):
            self._close(conversation_id)
        return self.harms

    def _harm(self, kind: Kind, detail: str, at: float | None = None) -> None:
        self.harms.append(Harm(kind, self._socket.device, detail, at))

    # --- offsets ---

    def _frame(self, frame: Frame) -> None:
        if frame["messageType"] not in REPLAYED and not refuses_resume(frame):
            self._replay_is_over()
        match frame["messageType"]:
            case "connected" | "conversation":
                self._spans[frame["conversationId"]] = Span(frame["offset"])
            case "resumed":
                self._resumed(frame)
            case "messageAccepted":
                self._accepted(frame)
            case "assistantResponse":
                self._replied(frame)
            case "runStarted":
                self._started(frame)
            case "assistantDelta":
                self._delta(frame)
            case "assistantSnapshot":
                self._speeches[frame["replyId"]] = Speech(frame["text"], begun=True)
            case "error" if refuses_resume(frame):
                self._resume_failed()

    def _replay_is_over(self) -> None:
        """Whatever is no entry of the log comes only after all that was missed."""
        for span in self._spans.values():
            span.complete = max(span.complete, span.promised)

    def _resumed(self, frame: Frame) -> None:
        asked = self._resumes.popleft()
        if not frame["recovered"] and asked.epoch == frame["epoch"]:
            self._harm(Kind.LOST, f"{asked} found the log at {frame['offset']}")
        self._close(asked.conversation_id)
        after = asked.after if frame["recovered"] else 0
        self._spans[asked.conversation_id] = Span(after, promised=frame["offset"])

    def _resume_failed(self) -> None:
        """At once, in the middle of the replay, or when it is through. What was held back is shown before that is told;
        what is missing before it was not promised. Then nothing is known of what follows until the next one.
        """
        broken_off = [one for one, span in self._spans.items() if not span.is_replayed()]
        if not broken_off and self._resumes:
            self._resumes.popleft()
        for conversation_id in broken_off:
            self._close(conversation_id, but=Kind.GAP)

    def _close(self, conversation_id: str, but: Kind | None = None) -> None:
        if (span := self._spans.pop(conversation_id, None)) is not None:
            for kind, detail in span.faults():
                if kind is not but:
                    self._harm(kind, f"{conversation_id}: {detail}")

    def _settled(self) -> None:
        for conversation_id, span in self._spans.items():
            if ledger := self._ledgers.get(conversation_id):
                span.complete = max(span.complete, ledger.head)

    def _shown(self, frame: Frame) -> Span:
        """The span of the frame's conversation, with its offset; begun here if the socket came to it unasked."""
        offset = frame["offset"]
        span = self._spans.setdefault(frame["conversationId"], Span(offset - 1))
        span.seen.append(offset)
        return span

    # --- entries ---

    def _accepted(self, frame: Frame) -> None:
        if not frame["duplicate"]:
            self._shown(frame)
        message_id, ledger = frame["messageId"], self._ledgers.get(frame["conversationId"])
        if ledger is None or message_id not in ledger.questions:
            self._harm(Kind.EARLY, f"{message_id} was acknowledged, and is not in the log")
            return
        match ledger.entries.get(frame["offset"]):
            case Question(message_id=kept, text=text) if (kept, text) == (message_id, frame["text"]):
                pass
            case entry:
                self._harm(Kind.CORRUPTED, f"{frame} acknowledged what is kept as {entry}")

    def _replied(self, frame: Frame) -> None:
        span = self._shown(frame)
        self._hold_against_log(frame)
        speech = self._speeches.setdefault(frame["replyId"], Speech())
        if self._socket.deltas and not (frame["error"] or speech.broken or speech.ended):
            # Of a reply that is replayed, the words that were still to come are left out.
            self._hold_words_against(frame, speech, replayed=frame["offset"] <= span.promised)
        speech.ended = True

    def _hold_words_against(self, frame: Frame, speech: Speech, *, replayed: bool) -> None:
        if not (speech.begun or replayed):
            self._harm(Kind.WORDLESS, f"nothing was heard of the reply before {frame}", self._stored_at(frame))
        elif speech.begun and not speech.fits(frame["message"], whole=not replayed):
            self._harm(Kind.UNEQUAL, f"the words were {speech}, the reply {frame}")

    def _hold_against_log(self, frame: Frame) -> None:
        message_id, ledger = frame["messageId"], self._ledgers.get(frame["conversationId"])
        if ledger is None or message_id not in ledger.questions:
            self._harm(Kind.UNASKED, f"a reply to {message_id} was shown, which is not in the log")
        elif message_id not in ledger.replies:
            self._harm(Kind.LOST, f"the reply to {message_id} was shown, and is not in the log")
        else:
            self._hold_against(ledger.entries.get(frame["offset"]), frame)

    def _hold_against(self, entry: Entry | None, frame: Frame) -> None:
        match entry:
            case Reply(message_id=kept, draft=draft) if kept == frame["messageId"]:
                if outcome(frame) != (draft.text, draft.finish_reason, draft.code):
                    self._harm(Kind.UNEQUAL, f"{frame} shows what is kept as {entry}")
            case _:
                self._harm(Kind.TERMINAL, f"{frame} ends what ends elsewhere; at its offset is {entry}")

    def _stored_at(self, frame: Frame) -> float | None:
        ledger = self._ledgers.get(frame["conversationId"])
        reply = ledger.replies.get(frame["messageId"]) if ledger else None
        return reply.created_at / 1000 if reply else None

    # --- words ---

    def _started(self, frame: Frame) -> None:
        if self._may_speak(frame):
            self._speeches[frame["replyId"]] = Speech(begun=True)

    def _delta(self, frame: Frame) -> None:
        if not self._may_speak(frame):
            return
        speech = self._speeches.setdefault(frame["replyId"], Speech())
        if speech.broken:
            return
        if speech.takes(frame["at"]) and self._socket.deltas:
            speech.said += frame["text"]
        else:
            speech.broken = True
            self._harm(Kind.UNEQUAL, f"after {speech} came {frame}")

    def _may_speak(self, frame: Frame) -> bool:
        speech = self._speeches.get(frame["replyId"])
        if speech is None or not speech.ended:
            return True
        self._harm(Kind.TERMINAL, f"{frame['messageType']} of {frame['replyId']} came after its end")
        return False


def refuses_resume(frame: Frame) -> bool:
    return frame["messageType"] == "error" and frame.get("action") == "resume"


def outcome(frame: Frame) -> tuple[object, object, object]:
    return frame["message"], frame["finishReason"], frame.get("code") if frame["error"] else None
