"""The client for a terminal, without its terminal and its socket: what comes in, what is shown, what is sent."""

from __future__ import annotations

import msgspec
import pytest

from server.channels import websocket
from server.channels.websocket import frames
from server.entrypoints.chat import effects
from server.entrypoints.chat.commands import HELP
from server.entrypoints.chat.effects import Anew, Asked, Ended, Leave, Spoken, Told
from server.entrypoints.chat.talk import Talk

LIMITS = frames.Limits(100, 500, 60)
CANCEL = frames.Cancel("c1", "me-1")


class Client:
    """A talk, and the server's side of it."""

    def __init__(self, offset: int = 0, *, connected: bool = True) -> None:
        self.now = 0.0
        self.talk = Talk("me", lambda: self.now)
        self.shown: list[effects.Effect] = []
        self.sent: list[frames.ClientFrame] = []
        if connected:
            self.connect(offset)
            self.shown.clear()

    def _look(self) -> None:
        for effect in self.talk.take():
            if isinstance(effect, effects.Send):
                assert websocket.parse(msgspec.json.encode(effect.frame)) == effect.frame
                self.sent.append(effect.frame)
            else:
                self.shown.append(effect)

    def connect(self, offset: int = 0, conversation: str = "c1", epoch: str = "e1") -> None:
        self.get(frames.Connected("k", "anna", epoch, conversation, offset, "2030-01-01T00:00:00Z", LIMITS))

    def enter(self, *lines: str) -> None:
        for line in lines:
            self.talk.typed(line)
        self._look()

    def press_ctrl_c(self) -> None:
        self.talk.interrupted()
        self._look()

    def lose(self) -> None:
        self.talk.lost()
        self._look()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.talk.tick()
        self._look()

    def get(self, *received: frames.ServerFrame) -> None:
        for frame in received:
            self.talk.received(frame)
        self._look()

    def lose_and_resume(self, *missed: frames.ServerFrame, recovered: bool = True, epoch: str = "e1") -> None:
        self.lose()
        self.connect(99)
        self.get(frames.Resumed("c1", epoch, recovered, 99), *missed)

    def words(self) -> str:
        """Of the reply, as they stand."""
        said: list[str] = []
        for effect in self.shown:
            match effect:
                case Spoken(text):
                    said.append(text)
                case Anew():
                    said.clear()
        return "".join(said)

    def of(self, kind: type[effects.Effect]) -> list[effects.Effect]:
        return [effect for effect in self.shown if isinstance(effect, kind)]


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


def error(action: str, code: str, *, message_id: str | None = None, after_ms: int | None = None) -> frames.ServerFrame:
    return frames.ErrorFrame(code, "No.", after_ms is not None, after_ms, action, message_id)


# --- a reply -------------------------------------------------------------------------------------------------------


def test_a_reply_is_shown_word_by_word_after_its_question() -> None:
    client = Client()
    client.enter("hi")
    assert client.sent == [message("hi", 1)]
    client.get(accepted(1), started(), delta(0, "Hel"), delta(3, "lo"), response(2, "Hello"))
    assert client.shown == [Asked("hi", mine=True), Spoken("Hel"), Spoken("lo"), Ended("Hello", "stop", True, False)]
    assert not client.talk.owed


def test_the_state_is_told_in_a_word() -> None:
    client = Client()
    states = [client.talk.status]
    client.enter("hi")
    states.append(client.talk.status)
    for frame in (accepted(1), started(), delta(0, "Hello"), response(2, "Hello")):
        client.get(frame)
        states.append(client.talk.status)
    assert states == ["", "sending", "waiting", "waiting", "answering", ""]


def test_words_that_come_twice_are_shown_once() -> None:
    client = Client()
    client.enter("hi")
    client.get(
        accepted(1), started(), delta(0, "Hello"), delta(0, "Hello"), delta(3, "lo you"), response(2, "Hello you")
    )
    assert client.words() == "Hello you"
    assert not client.of(Anew)


def test_words_that_never_came_are_made_good_at_the_end() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), started(), delta(0, "Hel"), delta(7, "you"), response(2, "Hello you"))
    assert client.words() == "Hello you"
    assert not client.of(Anew)


def test_a_reply_begun_anew_is_shown_anew() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), started(), delta(0, "wrong track"), started(), delta(0, "Hello"), response(2, "Hello"))
    assert [type(effect) for effect in client.shown] == [Asked, Spoken, Anew, Spoken, Ended]
    assert client.words() == "Hello"


def test_a_device_that_joins_in_the_middle_shows_what_was_said_so_far() -> None:
    client = Client(1)
    client.get(snapshot("Hel", message_id="x"), delta(3, "lo"), response(2, "Hello", "x"))
    assert client.shown == [Spoken("Hel"), Spoken("lo"), Ended("Hello", "stop", mine=False, failed=False)]


def test_a_failed_reply_is_told_and_counts_as_a_failure() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), started(), response(2, "Sorry.", error=True, reason="error"))
    assert client.shown[-1] == Ended("Sorry.", "error", mine=True, failed=True)
    assert client.talk.failed


# --- several questions ---------------------------------------------------------------------------------------------


def test_a_question_typed_during_a_reply_waits_and_is_shown_when_its_turn_comes() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), started(), delta(0, "Hel"))
    client.enter("more")
    client.get(accepted(2, "me-2", "more"))
    assert client.talk.status == "answering, 1 more waiting"
    assert client.of(Asked) == [Asked("hi", mine=True)]
    client.get(response(3, "Hello"), started("r2", "me-2"), delta(0, "Yes", "r2"), response(4, "Yes", "me-2", "r2"))
    assert [type(effect) for effect in client.shown] == [Asked, Spoken, Spoken, Ended, Asked, Spoken, Ended]


def test_a_question_from_another_device_is_shown_with_its_reply() -> None:
    client = Client()
    client.get(accepted(1, "x", "from my phone"), started(message_id="x"), response(2, "Hello", "x"))
    assert client.shown[0] == Asked("from my phone", mine=False)
    assert client.shown[-1] == Ended("Hello", "stop", mine=False, failed=False)


def test_the_question_being_answered_is_the_first_whoever_asked_it() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1, "x", "from my phone"), started(message_id="x"), delta(0, "Hel"))
    assert client.talk.status == "answering, 1 more waiting"
    assert client.of(Asked) == [Asked("hi", mine=True), Asked("from my phone", mine=False)]


@pytest.mark.parametrize("late", [accepted(1, "x", "hello"), accepted(1, "x", "hello", duplicate=True)])
def test_a_question_that_is_told_after_its_reply_does_not_wait_for_another(late: frames.ServerFrame) -> None:
    client = Client()
    client.get(started(message_id="x"), response(2, "Hello", "x"), late)
    assert client.talk.status == ""


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
    assert effects.Welcome("anna", 4) in client.shown


def test_a_message_without_its_acknowledgement_is_sent_again_under_the_same_id() -> None:
    client = Client()
    client.enter("hi")
    client.lose_and_resume()
    assert client.sent == [message("hi", 1), frames.Resume("c1", 0, "e1"), message("hi", 1)]
    client.get(accepted(1, duplicate=True), response(2, "Hello"))
    assert client.of(Asked) == [Asked("hi", mine=True)]
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
        assert len(client.of(Anew)) == len(client.of(Ended)) == 1


def test_a_reply_without_words_when_the_connection_was_lost_needs_no_new_beginning() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), started())
    client.lose_and_resume(started(), delta(0, "Hello"), response(2, "Hello"))
    assert client.words() == "Hello"
    assert not client.of(Anew)


def test_a_log_that_is_replayed_shows_nothing_twice() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), response(2, "Hello"))
    before = client.of(Asked) + client.of(Ended)
    client.lose_and_resume(accepted(1), response(2, "Hello"))
    assert client.of(Asked) + client.of(Ended) == before


def test_frames_that_overtook_each_other_leave_no_gap() -> None:
    client = Client()
    client.get(response(2, "Hello", "x"), response(2, "Hello", "x"))
    client.lose_and_resume(accepted(1, "x"), response(2, "Hello", "x"))
    assert client.sent == [frames.Resume("c1", 0, "e1")]
    assert len(client.of(Ended)) == 1


def test_live_frames_before_the_replay_are_left_to_the_replay() -> None:
    client = Client(connected=True)
    client.lose()
    client.connect(4)
    client.get(response(4, "later", "y", "r2"))
    assert client.words() == ""
    client.get(frames.Resumed("c1", "e1", True, 4), response(2, "first", "x"), response(4, "later", "y", "r2"))
    assert [ended.text for ended in client.of(Ended) if isinstance(ended, Ended)] == ["first", "later"]


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
    assert client.talk.status == "sending"
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
    assert not client.of(effects.Reconnect)
    client.wait(2)
    assert client.of(effects.Reconnect)


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
    assert Told("Not sent: No.", warning=True) in client.shown
    assert client.sent[-1] == message("more", 2)
    assert client.shown[-1] == Asked("more", mine=True)
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
    assert client.shown == [Told("No.", warning=True)]
    assert not client.talk.owed


# --- commands ------------------------------------------------------------------------------------------------------


def test_commands_ask_the_server_and_show_its_answer() -> None:
    client = Client(2)
    client.enter("/history", "/history 5", "/list")
    entry = frames.HistoryEntry(1, "user", "hi", "x", "2030-01-01T00:00:00Z")
    client.get(frames.HistoryPage("c1", [entry], more=False), frames.HistoryPage("c1", [], more=True))
    listed = frames.ConversationEntry("c1", "a@1", "2030-01-01T00:00:00.000Z", "2030-01-01T00:00:00.000Z", 2)
    client.get(frames.Conversations([listed]))
    assert client.sent == [
        frames.History("c1", limit=20),
        frames.History("c1", limit=5),
        frames.ListConversations(),
    ]
    assert client.shown == [effects.Past([entry], False), effects.Past([], True), effects.Listing([listed], "c1")]


def test_what_is_typed_after_new_belongs_to_the_new_conversation() -> None:
    client = Client(2)
    client.enter("/new", "hi")
    client.get(frames.ConversationOpened("c2", "a@1", "e2", 0, "2030-01-01T00:00:00Z"))
    assert client.sent == [frames.NewConversation(), frames.SendMessage("hi", "me-1", "c2")]
    client.get(accepted(3, "x", "in the old one"))
    assert Asked("in the old one", mine=False) not in client.shown


def test_commands_under_way_when_the_connection_is_lost_are_asked_again() -> None:
    client = Client()
    client.enter("/list")
    client.lose_and_resume()
    assert client.sent == [frames.ListConversations(), frames.Resume("c1", 0, "e1"), frames.ListConversations()]


def test_new_is_refused_while_something_is_being_answered() -> None:
    client = Client()
    client.enter("hi", "/new")
    assert client.sent == [message("hi", 1)]
    assert isinstance(client.shown[-1], Told)


def test_help_quit_and_what_is_no_command() -> None:
    client = Client()
    client.enter("/help", "/quit", "/nonsense", "", "  ", "//etc is a folder")
    assert client.shown[:2] == [Told(HELP), Leave()]
    assert isinstance(client.shown[2], Told)
    assert client.sent == [message("/etc is a folder", 1)]


@pytest.mark.parametrize("how", ["/cancel", "ctrl-c"])
def test_cancel_names_the_question_being_answered(how: str) -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), started(), delta(0, "Hel"))
    client.enter("/cancel") if how == "/cancel" else client.press_ctrl_c()
    assert client.sent[-1] == CANCEL
    assert client.talk.status == "cancelling"
    client.get(response(2, "Hel", reason="cancelled"))
    assert client.shown[-1] == Ended("Hel", "cancelled", mine=True, failed=False)


def test_ctrl_c_with_nothing_to_cancel_leaves() -> None:
    client = Client()
    client.press_ctrl_c()
    assert client.shown == [Leave()]


def test_ctrl_c_that_comes_a_moment_too_late_for_a_reply_does_not_leave() -> None:
    client = Client()
    client.enter("hi")
    client.get(accepted(1), response(2, "Hello"))
    client.press_ctrl_c()
    assert Leave() not in client.shown
    client.wait(1.5)
    client.press_ctrl_c()
    assert client.shown[-1] == Leave()


def test_ctrl_c_twice_leaves_a_server_that_does_not_cancel() -> None:
    client = Client(1)
    client.get(snapshot("words", message_id="x"))
    client.press_ctrl_c()
    assert client.sent == [frames.Cancel("c1", "x")]
    client.press_ctrl_c()
    assert client.shown[-1] == Leave()


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


def test_a_token_that_runs_out_is_renewed_whatever_else_waits() -> None:
    client = Client()
    client.enter("hi")
    client.get(frames.TokenExpiring("2030-01-01T00:00:00Z"))
    assert client.shown[-1] == effects.Renew()
    client.talk.renewed("newer")
    client.get(frames.TokenRefreshed("2030-01-01T00:00:00Z"))
    assert client.sent == [message("hi", 1), frames.RefreshToken("newer")]
    before = list(client.shown)
    client.lose()
    client.talk.renewed("of no use now")
    client.wait(1)
    assert client.shown == before
    assert len(client.sent) == 2
