"""One person's side of the socket. Frames and typed lines go in, effects come out. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count
from typing import TypeAlias, assert_never, get_args

import msgspec

from server.channels.websocket import frames
from server.entrypoints.chat import commands, effects
from server.entrypoints.chat.effects import Effect, Send, Told
from server.entrypoints.chat.requests import Requests, is_too_long
from server.entrypoints.chat.transcript import Transcript

NOTHING_LOST = frozenset({"nothing_to_cancel"})
NOTICED_SECONDS = 2.0
REACTION_SECONDS = 1.0
ACTIONS: dict[str, type[frames.Action]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(frames.ClientFrame)
}
Speech: TypeAlias = frames.RunStarted | frames.AssistantDelta | frames.AssistantSnapshot | frames.AssistantResponse


class Talk:
    """Nothing typed is lost or said twice, whatever happens to the connection.

    `name` begins the ids of its messages, and of no others. The clock is monotonic, in seconds.
    """

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.failed = False
        self._name = name
        self._numbers = count(1)
        self._clock = clock
        self._ended_at = -math.inf
        self._requests = Requests(clock)
        self._effects: list[Effect] = []
        self._transcript = Transcript(f"{name}-", self._effects.append)
        self._greeting: frames.Connected | None = None

    @property
    def owed(self) -> bool:
        """Something typed has no answer yet."""
        return bool(self._requests) or any(one.mine for one in self._transcript.unanswered)

    @property
    def unsent(self) -> int:
        """Messages of which it is not known that the server has them."""
        return self._requests.messages

    @property
    def status(self) -> str:
        """In a few words; none when nothing is going on."""
        return self._transcript.status

    def take(self) -> list[Effect]:
        """What is to be done since it was asked last, in order."""
        taken = self._effects[:]
        self._effects.clear()
        return taken

    # --- what the person does

    def typed(self, line: str) -> None:
        match commands.command(line):
            case None:
                pass
            case commands.Say(text):
                self._say(text)
            case commands.New():
                self._open_new()
            case commands.List():
                self._ask(frames.ListConversations())
            case commands.History(limit):
                self._ask(frames.History(limit=limit))
            case commands.Cancel():
                if not self._cancel_oldest():
                    self._tell("Nothing is being answered.")
            case commands.Help():
                self._tell(commands.HELP)
            case commands.Quit():
                self._effects.append(effects.Leave())
            case commands.Unknown(text):
                self._fail(f"{text.split()[0]} is no command; /help lists them, // begins a message with a slash.")
            case other:
                assert_never(other)

    def interrupted(self) -> None:
        """Ctrl-C: a reply is cancelled; without one, not even one that ended just now, the person leaves."""
        if not self._cancel_oldest() and self._clock() - self._ended_at > REACTION_SECONDS:
            self._effects.append(effects.Leave())

    # --- what the connection does

    def lost(self) -> None:
        self._greeting = None
        self._transcript.tear()
        hopeless = self._requests.reset()
        if isinstance(hopeless, frames.SendMessage):
            self._not_sent(hopeless.message_id, "the connection was lost each time.")

    def renewed(self, token: str) -> None:
        """Past all that waits. Should it be lost, the next connection begins with a new token anyway."""
        if self._greeting is not None:
            self._effects.append(Send(frames.RefreshToken(token)))

    def tick(self) -> None:
        """Time has passed."""
        if self._greeting is not None and self._requests.overdue:
            self._effects.append(effects.Reconnect())
        self._flush()

    def received(self, frame: frames.ServerFrame) -> None:
        match frame:
            case frames.Connected():
                self._greeted(frame)
            case frames.MessageAccepted():
                self._accepted(frame)
            case frames.RunStarted() | frames.AssistantDelta():
                self._spoke(frame)
            case frames.AssistantSnapshot() | frames.AssistantResponse():
                self._spoke(frame)
            case frames.HistoryPage(_, messages, more):
                if self._requests.answered(frames.History):
                    self._effects.append(effects.Past(messages, more))
            case frames.ConversationOpened():
                self._opened(frame)
            case frames.Conversations(entries):
                if self._requests.answered(frames.ListConversations):
                    self._effects.append(effects.Listing(entries, self._transcript.conversation_id))
            case frames.Resumed():
                self._resumed(frame)
            case frames.TokenExpiring():
                self._effects.append(effects.Renew())
            case frames.Disconnecting():
                self._tell("The server is about to restart.")
            case frames.ErrorFrame():
                self._refused(frame)
            case frames.TokenRefreshed() | frames.Pong() | frames.ToolCall():
                pass
            case _:
                assert_never(frame)
        self._flush()

    def _greeted(self, frame: frames.Connected) -> None:
        first = not self._transcript.conversation_id
        self._greeting = frame
        if first:
            self._transcript.open(frame.conversation_id, frame.epoch, frame.offset)
            self._effects.append(effects.Welcome(frame.user_id, frame.offset))
        else:
            self._requests.put_first(self._transcript.resume())

    def _resumed(self, frame: frames.Resumed) -> None:
        if not self._requests.answered(frames.Resume):
            return
        if frame.recovered:
            self._tell("Connected again.")
        else:
            self._tell("Connected again, to another state of this conversation; here it is from its start.")
            for said in self._transcript.begin_again(frame.epoch):
                self._requests.add(frames.SendMessage(said.text, said.message_id))
        for said in self._transcript.unanswered:
            if said.cancelled and said.accepted:
                self._cancel(said.message_id)

    def _accepted(self, frame: frames.MessageAccepted) -> None:
        self._requests.answered(frames.SendMessage, frame.message_id)
        if self._is_live(frame.conversation_id):
            self._transcript.accepted(frame)
            said = self._transcript.find(frame.message_id)
            if said is not None and said.cancelled:
                self._cancel(frame.message_id)

    def _spoke(self, frame: Speech) -> None:
        if not self._is_live(frame.conversation_id):
            return
        match frame:
            case frames.RunStarted():
                self._transcript.started(frame)
            case frames.AssistantDelta():
                self._transcript.delta(frame)
            case frames.AssistantSnapshot():
                self._transcript.snapshot(frame)
            case frames.AssistantResponse():
                self.failed |= frame.error and frame.message_id.startswith(f"{self._name}-")
                self._ended_at = self._clock()
                self._transcript.ended(frame)
            case _:
                assert_never(frame)

    def _is_live(self, conversation_id: str) -> bool:
        """Before `resumed` frames would come twice, and out of order."""
        return conversation_id == self._transcript.conversation_id and not self._requests.resuming

    def _opened(self, frame: frames.ConversationOpened) -> None:
        if self._requests.answered(frames.NewConversation):
            self._transcript.open(frame.conversation_id, frame.epoch, frame.offset)
            self._tell("A new conversation.")

    # --- what the server refuses

    def _refused(self, error: frames.ErrorFrame) -> None:
        kind = ACTIONS.get(error.action or "")
        if kind is None or not self._requests.head(kind, error.message_id):
            if error.code not in NOTHING_LOST:
                self._tell(error.message, warning=True)
            return
        if self._comes_again(error):
            return
        match self._requests.answered(kind, error.message_id):
            case frames.SendMessage(_, message_id):
                self._not_sent(message_id, error.message)
            case frames.Resume():
                self._lose_conversation(error.message)
            case _:
                self._fail(error.message)

    def _lose_conversation(self, why: str) -> None:
        """Go on in the one that the server greeted us with."""
        self._fail(why)
        greeting = self._greeting
        if greeting is not None and greeting.conversation_id != self._transcript.conversation_id:
            self._tell("What you say now goes to another conversation.")
            self._transcript.open(greeting.conversation_id, greeting.epoch, greeting.offset)
            self._requests.put_first(self._transcript.resume())

    def _comes_again(self, error: frames.ErrorFrame) -> bool:
        hint = None if error.retry_after_ms is None else error.retry_after_ms / 1000
        delay = self._requests.try_again(hint) if error.retryable else None
        if delay is not None and delay >= NOTICED_SECONDS:
            self._tell(f"{error.message} It is sent again in {delay:.0f} s.")
        return delay is not None

    def _not_sent(self, message_id: str | None, why: str) -> None:
        self._fail(f"Not sent: {why}")
        self._transcript.unsay(message_id or "")

    # --- what is said to the server

    def _say(self, text: str) -> None:
        if self._requests.full:
            self._fail("Too many messages wait already; let some be answered first.")
            return
        message_id = f"{self._name}-{next(self._numbers)}"
        self._transcript.say(message_id, text)
        self._ask(frames.SendMessage(text, message_id))

    def _open_new(self) -> None:
        if self._transcript.unanswered:
            self._tell("Something is still being answered here; wait for it, or /cancel it first.")
        else:
            self._ask(frames.NewConversation())

    def _cancel_oldest(self) -> bool:
        """False when there is nothing that was not cancelled before."""
        said = self._transcript.cancel_next()
        if said is None:
            return False
        if self._requests.drop(said.message_id):
            self._transcript.unsay(said.message_id)
            self._tell("Not sent.")
        elif said.accepted:
            self._cancel(said.message_id)
        return True

    def _cancel(self, message_id: str) -> None:
        if self._greeting is not None:
            self._effects.append(Send(frames.Cancel(self._transcript.conversation_id, message_id)))

    def _ask(self, frame: frames.ClientFrame) -> None:
        self._requests.add(frame)
        self._flush()

    def _flush(self) -> None:
        if self._greeting is None:
            return
        frame = self._requests.next()
        if frame is None:
            return
        if isinstance(frame, frames.SendMessage | frames.History):
            frame = msgspec.structs.replace(frame, conversation_id=self._transcript.conversation_id)
        if isinstance(frame, frames.SendMessage) and is_too_long(frame, self._greeting.limits):
            self._requests.answered(frames.SendMessage)
            self._not_sent(frame.message_id, "it is too long; shorten it.")
            self._flush()
            return
        self._effects.append(Send(frame))

    def _tell(self, text: str, *, warning: bool = False) -> None:
        self._effects.append(Told(text, warning))

    def _fail(self, text: str) -> None:
        """Told, and kept in mind for the exit code."""
        self.failed = True
        self._tell(text, warning=True)
