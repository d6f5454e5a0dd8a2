"""One person's side of the socket: typed lines and frames come in, frames and words to show go out. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count
from typing import Protocol, assert_never, get_args

import msgspec

from server.channels.websocket import frames
from server.entrypoints.chat import commands
from server.entrypoints.chat.requests import Requests, is_too_long
from server.entrypoints.chat.transcript import Said, Speech, Transcript
from server.entrypoints.chat.view import Kind, View

NOTHING_LOST = frozenset({"nothing_to_cancel"})
NOTICED_SECONDS = 2.0
REACTION_SECONDS = 1.0
ACTIONS: dict[str, type[frames.Action]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(frames.ClientFrame)
}


class Wire(Protocol):
    def send(self, frame: frames.ClientFrame) -> None:
        """On the present connection, if there is one."""
        ...

    def drop(self) -> None:
        """The present connection answers no more."""
        ...


class Talk:
    """Nothing typed is lost or said twice, whatever happens to the connection.

    `name` begins the ids of its messages, and of no others. The clock is monotonic, in seconds.
    """

    def __init__(
        self, name: str, clock: Callable[[], float], view: View, wire: Wire, leave: Callable[[], None]
    ) -> None:
        self.failed = False
        self._name = name
        self._numbers = count(1)
        self._clock = clock
        self._view = view
        self._wire = wire
        self._leave = leave
        self._ended_at = -math.inf
        self._requests = Requests(clock)
        self._transcript = Transcript(f"{name}-", view)
        self._greeting: frames.Connected | None = None
        self._listed: Sequence[str] = []

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

    # --- what the person does

    def typed(self, line: str) -> None:
        match commands.parse(line):
            case "", text:
                self._say(text)
            case "/new", "":
                self._go(frames.NewConversation())
            case "/open", which if which:
                self._open(which)
            case "/list", "":
                self._ask(frames.ListConversations())
            case "/history", argument if limit := commands.page(argument):
                self._ask(frames.History(limit=limit))
            case "/cancel", "":
                if not self._cancel_oldest():
                    self._tell("Nothing is being answered.")
            case "/help", "":
                self._tell(commands.HELP)
            case "/quit", "":
                self._leave()
            case name, _:
                self._fail(f"{name} like this is no command; /help lists them, // begins a message with a slash.")

    def interrupted(self) -> None:
        """Ctrl-C: a reply is cancelled; without one, not even one that ended just now, the person leaves."""
        if not self._cancel_oldest() and self._clock() - self._ended_at > REACTION_SECONDS:
            self._leave()

    # --- what the connection does

    def lost(self) -> None:
        self._greeting = None
        self._transcript.tear()
        hopeless = self._requests.reset()
        if hopeless is not None:
            self._give_up(hopeless, "the connection was lost each time.")

    def tick(self) -> None:
        """Time has passed."""
        if self._greeting is not None and self._requests.is_overdue:
            self._wire.drop()
        self._flush()

    def received(self, frame: frames.ServerFrame) -> None:
        match frame:
            case frames.Connected():
                self._greeted(frame)
            case frames.MessageAccepted():
                self._accepted(frame)
            case frames.RunStarted() | frames.AssistantDelta() | frames.AssistantSnapshot():
                self._hear(frame)
            case frames.AssistantResponse():
                self._ended(frame)
            case frames.HistoryPage():
                self._look_back(frame)
            case frames.ConversationOpened():
                self._opened(frame)
            case frames.Conversations(entries):
                self._list(entries)
            case frames.Resumed():
                self._resumed(frame)
            case frames.TokenExpiring():
                self._tell("Your token is about to expire: get a new one, and start again with it.", Kind.WARNING)
            case frames.Disconnecting():
                self._tell("The server is about to restart.")
            case frames.ErrorFrame():
                self._refused(frame)
            case frames.TokenRefreshed() | frames.Pong():
                pass
            case _:
                assert_never(frame)
        self._flush()

    def _greeted(self, frame: frames.Connected) -> None:
        self._greeting = frame
        if self._transcript.conversation_id:
            self._requests.put_first(self._transcript.resume())
        else:
            self._transcript.open(frame.conversation_id, frame.epoch, frame.offset)

    def _accepted(self, frame: frames.MessageAccepted) -> None:
        self._requests.answered(frames.SendMessage, frame.message_id)
        said = self._transcript.find(frame.message_id) if self._hear(frame) else None
        if said is not None and said.cancelled:
            self._cancel(said)

    def _ended(self, frame: frames.AssistantResponse) -> None:
        if self._hear(frame):
            self.failed |= frame.error and frame.message_id.startswith(f"{self._name}-")
            self._ended_at = self._clock()

    def _hear(self, frame: Speech) -> bool:
        """False for what is said elsewhere; and before `resumed`, when frames would come twice and out of order."""
        if frame.conversation_id != self._transcript.conversation_id or self._requests.is_resuming:
            return False
        self._transcript.hear(frame)
        return True

    # --- what the server answers

    def _look_back(self, page: frames.HistoryPage) -> None:
        asked = self._requests.answered(frames.History)
        if not isinstance(asked, frames.History):
            return
        self._tell("what was said before that: /history with a larger number" if page.more else "the beginning")
        for entry in page.messages:
            reply = Kind.PAST_FAILURE if entry.code else Kind.PAST_REPLY
            self._view.show(Kind.PAST_QUESTION if entry.role == "user" else reply, entry.text)
        if asked.conversation_id is not None:
            seen = page.messages[-1].offset if page.messages else 0
            self._transcript.open(page.conversation_id, "", seen)
            self._requests.put_first(self._transcript.resume())

    def _opened(self, frame: frames.ConversationOpened) -> None:
        if self._requests.answered(frames.NewConversation):
            self._transcript.open(frame.conversation_id, frame.epoch, frame.offset)
            self._tell("A new conversation.")

    def _list(self, entries: Sequence[frames.ConversationEntry]) -> None:
        if self._requests.answered(frames.ListConversations):
            self._listed = [one.conversation_id for one in entries]
            current = self._transcript.conversation_id
            rows = [row(number, one, current) for number, one in enumerate(entries, 1)]
            self._view.show(Kind.LISTING, "\n".join(rows))

    def _resumed(self, frame: frames.Resumed) -> None:
        if not self._requests.answered(frames.Resume):
            return
        if not self._transcript.epoch:
            self._transcript.epoch = frame.epoch
            self._tell("This is where you are now.")
        elif frame.recovered:
            self._tell("Connected again.")
        else:
            self._tell("Connected again, to another state of this conversation; here it is from its start.")
            for said in self._transcript.begin_again(frame.epoch):
                self._requests.add(frames.SendMessage(said.text, said.message_id))
        for said in self._transcript.unanswered:
            if said.cancelled and said.accepted:
                self._cancel(said)

    # --- what the server refuses

    def _refused(self, error: frames.ErrorFrame) -> None:
        kind = ACTIONS.get(error.action or "")
        if kind is None or not self._requests.head(kind, error.message_id):
            if error.code not in NOTHING_LOST:
                self._tell(error.message, Kind.WARNING)
        elif not self._comes_again(error):
            self._give_up(self._requests.answered(kind, error.message_id), error.message)

    def _comes_again(self, error: frames.ErrorFrame) -> bool:
        delay = self._requests.try_again((error.retry_after_ms or 0) / 1000) if error.retryable else None
        if delay is not None and delay >= NOTICED_SECONDS:
            self._tell(f"{error.message} It is sent again in {delay:.0f} s.")
        return delay is not None

    def _give_up(self, asked: frames.ClientFrame | None, why: str) -> None:
        if isinstance(asked, frames.SendMessage):
            self._fail(f"Not sent: {why}")
            self._transcript.unsay(asked.message_id or "")
            return
        self._fail(why)
        greeting = self._greeting if isinstance(asked, frames.Resume) else None
        if greeting is not None and greeting.conversation_id != self._transcript.conversation_id:
            self._tell("What you say now goes to another conversation.")
            self._transcript.open(greeting.conversation_id, greeting.epoch, greeting.offset)
            self._requests.put_first(self._transcript.resume())

    # --- what is said to the server

    def _say(self, text: str) -> None:
        if not text:
            return
        if self._requests.is_full:
            self._fail("Too many messages wait already; let some be answered first.")
            return
        message_id = f"{self._name}-{next(self._numbers)}"
        self._transcript.say(message_id, text)
        self._ask(frames.SendMessage(text, message_id))

    def _open(self, which: str) -> None:
        if which.isdecimal():
            number = int(which[:9])
            if not 1 <= number <= len(self._listed):
                self._fail("There is no such number; /list shows them.")
                return
            which = self._listed[number - 1]
        self._go(frames.History(which, limit=commands.USUAL_PAGE))

    def _go(self, elsewhere: frames.NewConversation | frames.History) -> None:
        if self._transcript.unanswered:
            self._tell("Something is still being answered here; wait for it, or /cancel it first.")
        else:
            self._ask(elsewhere)

    def _cancel_oldest(self) -> bool:
        """False when there is nothing that was not cancelled before."""
        said = self._transcript.cancel_next()
        if said is None:
            return False
        if self._requests.drop(said.message_id):
            self._transcript.unsay(said.message_id)
            self._tell("Not sent.")
        elif said.accepted:
            self._cancel(said)
        return True

    def _cancel(self, said: Said) -> None:
        if self._greeting is not None:
            self._wire.send(frames.Cancel(self._transcript.conversation_id, said.message_id))

    def _ask(self, frame: frames.ClientFrame) -> None:
        self._requests.add(frame)
        self._flush()

    def _flush(self) -> None:
        frame = self._requests.next() if self._greeting is not None else None
        if frame is None or self._greeting is None:
            return
        if isinstance(frame, frames.SendMessage | frames.History) and frame.conversation_id is None:
            frame = msgspec.structs.replace(frame, conversation_id=self._transcript.conversation_id)
        if isinstance(frame, frames.SendMessage) and is_too_long(frame, self._greeting.limits):
            self._give_up(self._requests.answered(frames.SendMessage), "it is too long; shorten it.")
            self._flush()
        else:
            self._wire.send(frame)

    def _tell(self, text: str, kind: Kind = Kind.REMARK) -> None:
        self._view.show(kind, text)

    def _fail(self, text: str) -> None:
        """Told, and kept in mind for the exit code."""
        self.failed = True
        self._tell(text, Kind.WARNING)


def row(number: int, entry: frames.ConversationEntry, current: str) -> str:
    """Times are local; the current one has a star."""
    when = datetime.fromisoformat(entry.updated_at).astimezone()
    star = "*" if entry.conversation_id == current else " "
    return f"{number:2} {star} {when:%Y-%m-%d %H:%M}  {entry.offset:4} entries  {entry.conversation_id}"
