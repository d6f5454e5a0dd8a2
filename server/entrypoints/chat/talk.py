"""One person's side of the socket: typed lines and frames come in, frames and words to show go out. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import count
from typing import TypeAlias, assert_never

import msgspec

from server.channels.websocket import frames
from server.entrypoints.chat import commands, pages
from server.entrypoints.chat.requests import Requests, is_too_long
from server.entrypoints.chat.transcript import Speech, Transcript
from server.entrypoints.chat.view import Kind, View

NOTICED_SECONDS = 2.0
REACTION_SECONDS = 1.0
Clock: TypeAlias = Callable[[], float]
Send: TypeAlias = Callable[[frames.ClientFrame], None]
Act: TypeAlias = Callable[[], None]


class Talk:
    """Nothing typed is lost or said twice, whatever happens to the connection.

    `name` begins the ids of its messages, and of no others. The clock is monotonic, in seconds. `send` uses the present
    connection, `drop` ends it, `leave` ends all.
    """

    def __init__(self, name: str, clock: Clock, view: View, *, send: Send, drop: Act, leave: Act) -> None:
        self.failed = False
        self._name = name
        self._numbers = count(1)
        self._clock = clock
        self._view = view
        self._send, self._drop, self._leave = send, drop, leave
        self._ended_at = -math.inf
        self.requests = Requests(clock)
        self.transcript = Transcript(f"{name}-", view)
        self._greeting: frames.Connected | None = None
        self._listed: Sequence[str] = []

    @property
    def owed(self) -> bool:
        """Something typed has no answer yet."""
        return len(self.requests) > 0 or any(one.mine for one in self.transcript.unanswered)

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
        self.transcript.tear()
        if hopeless := self.requests.reset():
            self._give_up(hopeless, "the connection was lost each time.")

    def tick(self) -> None:
        """Time has passed."""
        if self._greeting is not None and self.requests.is_overdue:
            self._drop()
        self._flush()

    def received(self, frame: frames.ServerFrame) -> None:
        match frame:
            case frames.Connected():
                self._greeted(frame)
            case frames.MessageAccepted() | frames.RunStarted() | frames.AssistantDelta():
                self._hear(frame)
            case frames.AssistantSnapshot() | frames.AssistantResponse():
                self._hear(frame)
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
            case frames.TokenRefreshed() | frames.Pong() | frames.ToolCall():
                pass
            case _:
                assert_never(frame)
        self._flush()

    def _greeted(self, frame: frames.Connected) -> None:
        self._greeting = frame
        if self.transcript.conversation_id:
            self.requests.put_first(self.transcript.resume())
        else:
            self.transcript.open(frame.conversation_id, frame.epoch, frame.offset)

    def _hear(self, frame: Speech) -> None:
        """Not what is said elsewhere; nor before `resumed`, when frames would come twice and out of order."""
        if isinstance(frame, frames.MessageAccepted):
            self.requests.answered(frames.SendMessage, frame.message_id)
        if frame.conversation_id != self.transcript.conversation_id or self.requests.is_resuming:
            return
        self.transcript.hear(frame)
        if isinstance(frame, frames.AssistantResponse):
            self.failed |= frame.error and frame.message_id.startswith(f"{self._name}-")
            self._ended_at = self._clock()

    def _look_back(self, page: frames.HistoryPage) -> None:
        asked = self.requests.answered(frames.History)
        if asked is not None:
            pages.show_past(self._view, page)
        if isinstance(asked, frames.History) and asked.conversation_id is not None:
            self.transcript.open(page.conversation_id, "", page.messages[-1].offset if page.messages else 0)
            self.requests.put_first(self.transcript.resume())

    def _opened(self, frame: frames.ConversationOpened) -> None:
        if self.requests.answered(frames.NewConversation):
            self.transcript.open(frame.conversation_id, frame.epoch, frame.offset)
            self._tell("A new conversation.")

    def _list(self, entries: Sequence[frames.ConversationEntry]) -> None:
        if self.requests.answered(frames.ListConversations):
            self._listed = [one.conversation_id for one in entries]
            pages.show_list(self._view, entries, self.transcript.conversation_id)

    def _resumed(self, frame: frames.Resumed) -> None:
        if not self.requests.answered(frames.Resume):
            return
        if not self.transcript.epoch:
            self.transcript.epoch = frame.epoch
            self._tell("This is where you are now.")
        elif frame.recovered:
            self._tell("Connected again.")
        else:
            self._tell("Connected again, to another state of this conversation; here it is from its start.")
            for said in self.transcript.begin_again(frame.epoch):
                self.requests.add(frames.SendMessage(said.text, said.message_id))

    def _refused(self, error: frames.ErrorFrame) -> None:
        if not self.requests.is_about(error):
            if error.code != "nothing_to_cancel":
                self._tell(error.message, Kind.WARNING)
        elif delay := self.requests.try_again(error):
            if delay >= NOTICED_SECONDS:
                self._tell(f"{error.message} It is sent again in {delay:.0f} s.")
        else:
            self._give_up(self.requests.pop(), error.message)

    def _give_up(self, asked: frames.ClientFrame, why: str) -> None:
        if isinstance(asked, frames.SendMessage):
            self._fail(f"Not sent: {why}")
            self.transcript.unsay(asked.message_id or "")
            return
        self._fail(why)
        greeting = self._greeting if isinstance(asked, frames.Resume) else None
        if greeting is not None and greeting.conversation_id != self.transcript.conversation_id:
            self._tell("What you say now goes to another conversation.")
            self.transcript.open(greeting.conversation_id, greeting.epoch, greeting.offset)
            self.requests.put_first(self.transcript.resume())

    # --- what is said to the server

    def _say(self, text: str) -> None:
        if not text:
            return
        message_id = f"{self._name}-{next(self._numbers)}"
        self.transcript.say(message_id, text)
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
        if self.transcript.unanswered:
            self._tell("Something is still being answered here; wait for it, or /cancel it first.")
        else:
            self._ask(elsewhere)

    def _cancel_oldest(self) -> bool:
        """False when there is nothing that was not cancelled before."""
        said = self.transcript.cancel_next()
        if said is not None and self.requests.drop(said.message_id):
            self.transcript.unsay(said.message_id)
            self._tell("Not sent.")
        self._flush()
        return said is not None

    def _ask(self, frame: frames.ClientFrame) -> None:
        self.requests.add(frame)
        self._flush()

    def _flush(self) -> None:
        """All that may be sent now."""
        if self._greeting is None:
            return
        if not self.requests.is_resuming:
            for said in self.transcript.to_cancel():
                self._send(frames.Cancel(self.transcript.conversation_id, said.message_id))
        while frame := self.requests.next():
            if isinstance(frame, frames.SendMessage | frames.History) and frame.conversation_id is None:
                frame = msgspec.structs.replace(frame, conversation_id=self.transcript.conversation_id)
            if isinstance(frame, frames.SendMessage) and is_too_long(frame, self._greeting.limits):
                self._give_up(self.requests.pop(), "it is too long; shorten it.")
            else:
                self._send(frame)

    def _tell(self, text: str, kind: Kind = Kind.REMARK) -> None:
        self._view.show(kind, text)

    def _fail(self, text: str) -> None:
        """Told, and kept in mind for the exit code."""
        self.failed = True
        self._tell(text, Kind.WARNING)
