"""The client for a terminal, without its terminal and its socket: what comes in, what is shown, what is sent."""

from __future__ import annotations

import re
from typing import Literal

import msgspec
import pytest

from server.channels import websocket
from server.channels.websocket import frames
from server.entrypoints.chat.address import Address
from server.entrypoints.chat.commands import HELP
from server.entrypoints.chat.talk import Talk
from server.entrypoints.chat.view import Kind

LIMITS = frames.Limits(100, 500, 60)
CANCEL = frames.Cancel("c1", "me-1")
SPOKEN = None


class Client:
    """A talk, and both its ends: the screen and the server."""

    def __init__(self, offset: int = 0, *, connected: bool = True) -> None:
        self.now = 0.0
        self.shown: list[tuple[Kind | None, str]] = []
        self.sent: list[frames.ClientFrame] = []
        self.dropped = self.left = 0
        self.talk = Talk("me", lambda: self.now, self, send=self._send, drop=self._drop, leave=self._leave)
        if connected:
            self.connect(offset)

    def show(self, kind: Kind, text: str) -> None:
        self.shown.append((kind, text))

    def speak(self, words: str) -> None:
        self.shown.append((SPOKEN, words))

    def _send(self, frame: frames.ClientFrame) -> None:
        assert websocket.parse(msgspec.json.encode(frame)) == frame
        self.sent.append(frame)

    def _drop(self) -> None:
        self.dropped += 1

    def _leave(self) -> None:
        self.left += 1

    def connect(self, offset: int = 0, conversation: str = "c1", epoch: str = "e1") -> None:
        self.get(frames.Connected("k", "anna", epoch, conversation, offset, "2030-01-01T00:00:00Z", LIMITS))

    def enter(self, *lines: str) -> None:
        for line in lines:
            self.talk.typed(line)

    def press_ctrl_c(self) -> None:
        self.talk.interrupted()

    def lose(self) -> None:
        self.talk.lost()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.talk.tick()

    def get(self, *received: frames.ServerFrame) -> None:
        for frame in received:
            self.talk.received(frame)

    def lose_and_resume(self, *missed: frames.ServerFrame, recovered: bool = True, epoch: str = "e1") -> None:
        self.lose()
        self.connect(99)
        self.get(frames.Resumed("c1", epoch, recovered, 99), *missed)

    def words(self) -> str:
        """Of the reply, as they stand."""
        said: list[str] = []
        for kind, text in self.shown:
            if kind is SPOKEN:
                said.append(text)
            elif kind is Kind.ANEW:
                said.clear()
        return "".join(said)

    def of(self, *kinds: Kind | None) -> list[tuple[Kind | None, str]]:
        return [one for one in self.shown if one[0] in kinds]

    def kinds(self) -> list[Kind | None]:
        return [kind for kind, _ in self.shown]


def message(text: str, number: int) -> frames.SendMessage:
    return frames.SendMessage(text, f"me-{number}", "c1")


def accepted(offset: int, message_id: str = "me-1", text: str = "hi", duplicate: bool = False) -> frames.ServerFrame:
    return frames.MessageAccepted(message_id, "c1", offset, text, duplicate)


def started(reply: str = "r1", message_id: str = "me-1") -> frames.ServerFrame:
    return frames.RunStarted("c1", message_id, reply, "a@1")


def delta(at: int, text: str, reply: str = "r1") -> frames.ServerFrame:
    return frames.AssistantDelta("c1", reply, at, text)


def snapshot(text: str, reply: str = "r1", message_id: str = "me-1") -> frames.ServerFrame:
    return frames.AssistantSnapshot("c1", message_id, reply, text)


def response(
    offset: int, text: str, message_id: str = "me-1", reply: str = "r1", reason: str = "stop", error: bool = False
) -> frames.ServerFrame:
    return frames.AssistantResponse(error, text, "c1", message_id, reply, offset, reason)


def listed(*conversations: tuple[str, int]) -> frames.ServerFrame:
    when = "2030-01-01T12:00:00.000Z"
    return frames.Conversations([frames.ConversationEntry(one, "a@1", when, when, size) for one, size in conversations])


def said(offset: int, role: Literal["user", "assistant"], text: str, code: str | None = None) -> frames.HistoryEntry:
    return frames.HistoryEntry(offset, role, text, "x", "2030-01-01T00:00:00Z", code)


def error(action: str, code: str, *, message_id: str | None = None, after_ms: int | None = None) -> frames.ServerFrame:
    return frames.ErrorFrame(code, "No.", after_ms is not None, after_ms, action, message_id)


# --- a reply -------------------------------------------------------------------------------------------------------


def test_a_reply_is_shown_word_by_word_after_its_question() -> None:
    client = Client()
    client.enter("hi")
    assert client.sent == [message("hi", 1)]
    client.get(accepted(1), started(), delta(0, "Hel"), delta(3, "lo"), response(2, "Hello"))
    assert client.shown == [(Kind.QUESTION, "hi"), (SPOKEN, "Hel"), (SPOKEN, "lo"), (Kind.REPLY, "Hello")]
    assert not client.talk.owed


def test_the_state_is_told_in_a_word() -> None:
    client = Client()
    states = [client.talk.transcript.status]
    client.enter("hi")
    states.append(client.talk.transcript.status)
    for frame in (accepted(1), started(), delta(0, "Hello"), response(2, "Hello")):
        client.get(frame)
        states.append(client.talk.transcript.status)
    assert states == ["", "sending", "waiting", "waiting", "answering", ""]


def test_words_that_come_twice_are_shown_once() -> None:
    client = Client()
    client.enter("hi")
    client.get(
        accepted(1), started(), delta(0, "Hello"), delta(0, "Hello"), delta(3, "lo you"), response(2, "Hello you")
    )
    assert client.words() == "Hello you"
    assert not client.of(Kind.ANEW)


def test_words_that_never_came_are_made_good_at_the_end() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), started(), delta(0, "Hel"), delta(7, "you"), response(2, "Hello you"))
    assert client.words() == "Hello you"
    assert not client.of(Kind.ANEW)


def test_a_reply_begun_anew_is_shown_anew() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), started(), delta(0, "wrong track"), started(), delta(0, "Hello"), response(2, "Hello"))
    assert client.kinds() == [Kind.QUESTION, SPOKEN, Kind.ANEW, SPOKEN, Kind.REPLY]
    assert client.words() == "Hello"


def test_a_device_that_joins_in_the_middle_shows_what_was_said_so_far() -> None:
    client = Client(1)
    client.get(snapshot("Hel", message_id="x"), delta(3, "lo"), response(2, "Hello", "x"))
    assert client.shown == [(SPOKEN, "Hel"), (SPOKEN, "lo"), (Kind.FOREIGN_REPLY, "Hello")]


def test_a_failed_reply_is_told_and_counts_as_a_failure() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), started(), response(2, "Sorry.", error=True, reason="error"))
    assert client.shown[-1] == (Kind.FAILURE, "Sorry.")
    assert client.talk.failed


# --- several questions ---------------------------------------------------------------------------------------------


def test_a_question_typed_during_a_reply_waits_and_is_shown_when_its_turn_comes() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), started(), delta(0, "Hel"))
    client.enter("more")
    client.get(accepted(2, "me-2", "more"))
    assert client.talk.transcript.status == "answering, 1 more waiting"
    assert client.of(Kind.QUESTION, Kind.FOREIGN_QUESTION) == [(Kind.QUESTION, "hi")]
    client.get(response(3, "Hello"), started("r2", "me-2"), delta(0, "Yes", "r2"), response(4, "Yes", "me-2", "r2"))
    assert client.kinds() == [Kind.QUESTION, SPOKEN, SPOKEN, Kind.REPLY, Kind.QUESTION, SPOKEN, Kind.REPLY]


def test_a_question_from_another_device_is_shown_with_its_reply() -> None:
    client = Client()
    client.get(accepted(1, "x", "from my phone"), started(message_id="x"), response(2, "Hello", "x"))
    assert client.shown[0] == (Kind.FOREIGN_QUESTION, "from my phone")
    assert client.shown[-1] == (Kind.FOREIGN_REPLY, "Hello")


def test_the_question_being_answered_is_the_first_whoever_asked_it() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1, "x", "from my phone"), started(message_id="x"), delta(0, "Hel"))
    assert client.talk.transcript.status == "answering, 1 more waiting"
    assert client.of(Kind.QUESTION, Kind.FOREIGN_QUESTION) == [
        (Kind.QUESTION, "hi"),
        (Kind.FOREIGN_QUESTION, "from my phone"),
    ]


@pytest.mark.parametrize("late", [accepted(1, "x", "hello"), accepted(1, "x", "hello", duplicate=True)])
def test_a_question_that_is_told_after_its_reply_does_not_wait_for_another(late: frames.ServerFrame) -> None:
    client = Client()
    client.get(started(message_id="x"), response(2, "Hello", "x"), late)
    assert client.talk.transcript.status == ""


def test_other_conversations_of_the_person_are_not_shown() -> None:
    client = Client()
    client.get(
        frames.MessageAccepted("x", "c2", 1, "elsewhere", duplicate=False),
        frames.RunStarted("c2", "x", "r9", "a@1"),
        frames.AssistantDelta("c2", "r9", 0, "words"),
        frames.AssistantResponse(False, "words", "c2", "x", "r9", 2, "stop"),
    )
    assert client.shown == []


def test_messages_go_out_one_after_another_in_the_order_they_were_typed() -> None:
    client = Client()
    client.enter("one", "two")
    assert client.sent == [message("one", 1)]
    client.get(accepted(1, text="one"))
    assert client.sent == [message("one", 1), message("two", 2)]


# --- connections come and go ----------------------------------------------------------------------------------------


def test_what_is_typed_before_there_is_a_connection_is_sent_when_there_is_one() -> None:
    client = Client(connected=False)
    client.enter("hi")
    assert client.sent == []
    client.connect(offset=4)
    assert client.sent == [message("hi", 1)]


def test_a_message_without_its_acknowledgement_is_sent_again_under_the_same_id() -> None:
    client = Client()
    client.enter("hi")
    client.lose_and_resume()
    assert client.sent == [message("hi", 1), frames.Resume("c1", 0, "e1"), message("hi", 1)]
    client.get(accepted(1, duplicate=True), response(2, "Hello"))
    assert client.of(Kind.QUESTION, Kind.FOREIGN_QUESTION) == [(Kind.QUESTION, "hi")]
    assert client.words() == "Hello"


def test_an_acknowledged_message_is_not_sent_again() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1))
    client.lose_and_resume(response(2, "Hello"))
    assert client.sent == [message("hi", 1), frames.Resume("c1", 1, "e1")]
    assert client.words() == "Hello"


def test_a_reply_torn_by_a_lost_connection_is_shown_whole_and_once() -> None:
    for continuation in ([started()], [snapshot("Hel")], []):
        client = Client()
        client.enter("hi")
        client.get(accepted(1), started(), delta(0, "Hello y"))
        at = 3 if continuation and isinstance(continuation[0], frames.AssistantSnapshot) else 0
        client.lose_and_resume(*continuation, *[delta(at, "Hello you"[at:])] * len(continuation))
        client.get(response(2, "Hello you"))
        assert client.words() == "Hello you"
        assert len(client.of(Kind.ANEW)) == len(client.of(Kind.REPLY, Kind.FOREIGN_REPLY)) == 1


def test_a_reply_without_words_when_the_connection_was_lost_needs_no_new_beginning() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), started())
    client.lose_and_resume(started(), delta(0, "Hello"), response(2, "Hello"))
    assert client.words() == "Hello"
    assert not client.of(Kind.ANEW)


def test_a_log_that_is_replayed_shows_nothing_twice() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), response(2, "Hello"))
    before = client.of(Kind.QUESTION, Kind.FOREIGN_QUESTION) + client.of(Kind.REPLY, Kind.FOREIGN_REPLY)
    client.lose_and_resume(accepted(1), response(2, "Hello"))
    assert client.of(Kind.QUESTION, Kind.FOREIGN_QUESTION) + client.of(Kind.REPLY, Kind.FOREIGN_REPLY) == before


def test_frames_that_overtook_each_other_leave_no_gap() -> None:
    client = Client()
    client.get(response(2, "Hello", "x"), response(2, "Hello", "x"))
    client.lose_and_resume(accepted(1, "x"), response(2, "Hello", "x"))
    assert client.sent == [frames.Resume("c1", 0, "e1")]
    assert len(client.of(Kind.REPLY, Kind.FOREIGN_REPLY)) == 1


def test_live_frames_before_the_replay_are_left_to_the_replay() -> None:
    client = Client(connected=True)
    client.lose()
    client.connect(4)
    client.get(response(4, "later", "y", "r2"))
    assert client.words() == ""
    client.get(frames.Resumed("c1", "e1", True, 4), response(2, "first", "x"), response(4, "later", "y", "r2"))
    assert [text for _, text in client.of(Kind.FOREIGN_REPLY)] == ["first", "later"]


def test_after_a_reconnect_it_stays_in_its_own_conversation() -> None:
    client = Client()
    client.lose()
    client.connect(conversation="another device opened this")
    client.get(frames.Resumed("c1", "e1", True, 0))
    client.enter("hi")
    assert client.sent == [frames.Resume("c1", 0, "e1"), message("hi", 1)]


def test_from_another_life_of_the_log_everything_is_shown_and_what_it_lacks_is_sent_again() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1))
    client.lose_and_resume(recovered=False, epoch="e2")
    assert client.sent[-1] == message("hi", 1)
    assert client.talk.transcript.status == "sending"
    client.get(accepted(1, "x", "older"), response(2, "once", "x", "r0"), accepted(3), response(4, "Hello"))
    assert client.words() == "onceHello"
    assert not client.talk.owed


def test_a_conversation_that_is_gone_gives_way_to_the_one_of_the_greeting() -> None:
    client = Client()
    client.enter("hi")
    client.lose()
    client.connect(conversation="c2", epoch="e9", offset=6)
    client.get(error("resume", "not_found"), frames.Resumed("c2", "e9", True, 6))
    assert client.sent[-2:] == [frames.Resume("c2", 6, "e9"), frames.SendMessage("hi", "me-1", "c2")]


def test_a_message_that_breaks_every_connection_is_given_up() -> None:
    client = Client()
    client.enter("hi")
    for _ in range(8):
        client.lose()
        client.connect()
        client.get(frames.Resumed("c1", "e1", True, 0))
    assert client.sent.count(message("hi", 1)) == 8
    assert client.talk.failed
    assert not client.talk.owed


def test_a_connection_that_answers_no_more_is_dropped() -> None:
    client = Client()
    client.enter("hi")
    client.wait(44)
    assert not client.dropped
    client.wait(2)
    assert client.dropped


# --- refusals ------------------------------------------------------------------------------------------------------


def test_a_message_that_is_refused_for_now_is_sent_again_when_it_is_welcome() -> None:
    client = Client()
    client.enter("hi", "more")
    client.get(error("sendMessage", "too_many_messages", message_id="me-1", after_ms=3000))
    client.wait(2.9)
    assert client.sent == [message("hi", 1)]
    client.wait(0.2)
    client.get(accepted(1))
    assert client.sent == [message("hi", 1), message("hi", 1), message("more", 2)]


def test_a_new_connection_does_not_wait_for_what_the_old_one_was_told() -> None:
    client = Client()
    client.enter("hi")
    client.get(error("sendMessage", "too_many_messages", message_id="me-1", after_ms=30_000))
    client.lose_and_resume()
    assert client.sent[1:] == [frames.Resume("c1", 0, "e1"), message("hi", 1)]


def test_a_message_that_is_refused_for_good_is_told_and_the_next_one_goes_out() -> None:
    client = Client()
    client.enter("hi", "more")
    client.get(error("sendMessage", "bad_message", message_id="me-1"))
    assert (Kind.WARNING, "Not sent: No.") in client.shown
    assert client.sent[-1] == message("more", 2)
    assert client.shown[-1] == (Kind.QUESTION, "more")
    assert client.talk.failed


@pytest.mark.parametrize("text", ["x" * 101, "é" * 51, "\x01" * 99])
def test_a_message_beyond_the_limits_is_not_sent(text: str) -> None:
    client = Client(connected=False)
    client.enter(text, "short")
    client.connect()
    assert client.sent == [message("short", 2)]
    assert client.talk.failed


def test_a_refused_command_is_told() -> None:
    client = Client()
    client.enter("/list")
    client.get(error("listConversations", "unavailable", after_ms=500))
    client.wait(1)
    client.get(error("listConversations", "bad_frame"))
    assert client.sent == [frames.ListConversations()] * 2
    assert client.shown == [(Kind.WARNING, "No.")]
    assert not client.talk.owed


# --- commands ------------------------------------------------------------------------------------------------------


def test_commands_ask_the_server_and_show_its_answer() -> None:
    client = Client(2)
    client.enter("/history", "/history 5", "/list")
    client.get(frames.HistoryPage("c1", [said(1, "user", "hi")], more=False), frames.HistoryPage("c1", [], more=True))
    client.get(listed(("c1", 2), ("c2", 7)))
    assert client.sent == [
        frames.History("c1", limit=20),
        frames.History("c1", limit=5),
        frames.ListConversations(),
    ]
    assert client.shown[:2] == [(Kind.REMARK, "the beginning"), (Kind.PAST_QUESTION, "hi")]
    assert "/history with a larger number" in client.shown[2][1]
    listing = "\n".join(text for _, text in client.of(Kind.LISTING))
    assert re.fullmatch(r" 1 \* 20\d\d-.* 2 entries  c1\n 2   20.* 7 entries  c2", listing)


def test_what_is_typed_after_new_belongs_to_the_new_conversation() -> None:
    client = Client(2)
    client.enter("/new", "hi")
    client.get(frames.ConversationOpened("c2", "a@1", "e2", 0, "2030-01-01T00:00:00Z"))
    assert client.sent == [frames.NewConversation(), frames.SendMessage("hi", "me-1", "c2")]
    client.get(accepted(3, "x", "in the old one"))
    assert (Kind.FOREIGN_QUESTION, "in the old one") not in client.shown


@pytest.mark.parametrize("which", ["2", "c2"])
def test_open_shows_another_conversation_and_goes_on_there(which: str) -> None:
    client = Client(2)
    client.enter("/list")
    client.get(listed(("c1", 2), ("c2", 7)))
    client.shown.clear()
    client.enter(f"/open {which}", "hi")
    page = [said(5, "user", "and?"), said(6, "assistant", "Sorry.", "timeout"), said(7, "assistant", "Hello")]
    client.get(frames.HistoryPage("c2", page, more=True))
    assert client.shown[2:] == [
        (Kind.PAST_QUESTION, "and?"),
        (Kind.PAST_FAILURE, "Sorry."),
        (Kind.PAST_REPLY, "Hello"),
    ]
    client.get(frames.Resumed("c2", "e2", True, 7))
    opened = [frames.History("c2", limit=20), frames.Resume("c2", 7), frames.SendMessage("hi", "me-1", "c2")]
    assert client.sent[1:] == opened
    client.get(frames.MessageAccepted("me-1", "c2", 8, "hi", duplicate=False))
    client.lose()
    client.connect(9)
    assert client.sent[4:] == [frames.Resume("c2", 8, "e2")]


def test_a_connection_lost_while_opening_another_conversation_opens_it_later() -> None:
    client = Client(2)
    client.enter("/open c2")
    client.get(frames.HistoryPage("c2", [], more=False))
    client.lose()
    client.connect(2)
    assert client.sent[1:] == [frames.Resume("c2", 0), frames.Resume("c2", 0)]


@pytest.mark.parametrize("which", ["0", "2", "", "99999999999999999999"])
def test_open_refuses_a_number_that_is_not_in_the_list(which: str) -> None:
    client = Client(2)
    client.enter("/list")
    client.get(listed(("c1", 2)))
    client.enter(f"/open {which}")
    assert client.sent == [frames.ListConversations()]
    assert client.shown[-1][0] is Kind.WARNING
    assert client.talk.failed


def test_a_conversation_that_cannot_be_opened_changes_nothing() -> None:
    client = Client(2)
    client.enter("/open c9", "hi")
    client.get(error("history", "not_found"))
    assert client.shown[-1] == (Kind.WARNING, "No.")
    assert client.sent[1:] == [message("hi", 1)]


def test_commands_under_way_when_the_connection_is_lost_are_asked_again() -> None:
    client = Client()
    client.enter("/list")
    client.lose_and_resume()
    assert client.sent == [frames.ListConversations(), frames.Resume("c1", 0, "e1"), frames.ListConversations()]


@pytest.mark.parametrize("command", ["/new", "/open c2"])
def test_nobody_goes_elsewhere_while_something_is_being_answered(command: str) -> None:
    client = Client()
    client.enter("hi", command)
    assert client.sent == [message("hi", 1)]
    assert client.shown[-1][0] is Kind.REMARK


def test_help_quit_and_what_is_no_command() -> None:
    client = Client()
    client.enter("/help", "/quit", "/nonsense", "", "  ", "//etc is a folder")
    assert client.shown[0] == (Kind.REMARK, HELP)
    assert client.shown[1][0] is Kind.WARNING
    assert client.left == 1
    assert client.sent == [message("/etc is a folder", 1)]


@pytest.mark.parametrize("how", ["/cancel", "ctrl-c"])
def test_cancel_names_the_question_being_answered(how: str) -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), started(), delta(0, "Hel"))
    client.enter("/cancel") if how == "/cancel" else client.press_ctrl_c()
    assert client.sent[-1] == CANCEL
    assert client.talk.transcript.status == "cancelling"
    client.get(response(2, "Hel", reason="cancelled"))
    assert client.shown[-2:] == [(Kind.REPLY, "Hel"), (Kind.REMARK, "cancelled")]


def test_pictures_are_shown_as_links() -> None:
    client = Client()
    client.enter("draw")
    answered = msgspec.structs.replace(response(2, "Look."), images=("https://a.example/1", "https://a.example/2"))
    client.get(accepted(1), answered)
    assert client.shown[-3:] == [
        (Kind.REPLY, "Look."),
        (Kind.PICTURE, "https://a.example/1"),
        (Kind.PICTURE, "https://a.example/2"),
    ]


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("ws://127.0.0.1:8000/ws?Auth=t", "http://127.0.0.1:8000/files/a?expires=1"),
        ("wss://me:secret@chat.example.com/dev", "https://chat.example.com/files/a?expires=1"),
    ],
)
def test_a_link_without_a_host_is_on_the_server(url: str, whole: str) -> None:
    assert Address(url).complete("/files/a?expires=1") == whole
    assert Address(url).complete("https://b.s3.amazonaws.com/a?X=1") == "https://b.s3.amazonaws.com/a?X=1"


def test_ctrl_c_with_nothing_to_cancel_leaves() -> None:
    client = Client()
    client.press_ctrl_c()
    assert client.left == 1


def test_ctrl_c_that_comes_a_moment_too_late_for_a_reply_does_not_leave() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), response(2, "Hello"))
    client.press_ctrl_c()
    assert client.left == 0
    client.wait(1.5)
    client.press_ctrl_c()
    assert client.left == 1


def test_ctrl_c_twice_leaves_a_server_that_does_not_cancel() -> None:
    client = Client(1)
    client.get(snapshot("words", message_id="x"))
    client.press_ctrl_c()
    assert client.sent == [frames.Cancel("c1", "x")]
    client.press_ctrl_c()
    assert client.left == 1


def test_a_message_cancelled_before_it_was_sent_is_never_sent() -> None:
    client = Client(connected=False)
    client.enter("hi")
    client.press_ctrl_c()
    client.connect()
    assert client.sent == []
    assert not client.talk.owed


def test_a_message_cancelled_before_its_acknowledgement_is_cancelled_after_it() -> None:
    client = Client()
    client.enter("hi")
    client.press_ctrl_c()
    client.lose_and_resume(accepted(1))
    assert client.sent[-1] == CANCEL


def test_a_cancel_that_may_be_lost_is_sent_again() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1))
    client.press_ctrl_c()
    client.lose_and_resume()
    assert client.sent[-1] == CANCEL
    before = list(client.shown)
    client.get(error("cancel", "nothing_to_cancel", message_id="me-1"))
    assert client.shown == before


def test_a_token_that_runs_out_and_cannot_be_renewed_is_told() -> None:
    client = Client()
    client.get(frames.TokenExpiring("2030-01-01T00:00:00Z"))
    assert "new one" in client.shown[-1][1]


def test_a_reply_to_several_messages_leaves_none_of_them_open() -> None:
    client = Client()
    client.get(accepted(1, "phone-1", "one"), accepted(2, "phone-2", "two"), started(message_id="phone-1"))
    assert len(client.talk.transcript.unanswered) == 2
    client.get(
        frames.AssistantResponse(False, "both", "c1", "phone-1", "r1", 3, "stop", message_ids=("phone-1", "phone-2"))
    )
    assert client.talk.transcript.unanswered == []
