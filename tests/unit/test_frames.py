"""The socket's language: what comes in is a typed action or a clear refusal; what goes out is as described."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.channels import websocket
from server.channels.websocket import frames
from server.entrypoints import described
from server.errors import BadInput, TooMany
from server.model import (
    Accepted,
    Conversation,
    Delta,
    Draft,
    Event,
    Frame,
    Page,
    Principal,
    Question,
    Replied,
    Reply,
    RunStarted,
    Snapshot,
    Usage,
)

DESCRIBED = json.loads(described.asyncapi("dev"))
QUESTION = Question(1, "m1", "hi", 1_790_000_000_123)
REPLY = Reply(2, 1, "m1", Draft("hello", "stop", Usage(3, 4)), 1_790_000_000_456)
FAILED = Reply(2, 1, "m1", Draft("sorry", "error", code="timeout", retryable=True), 1_790_000_000_456)
JOINT = Reply(4, 1, "m1", Draft("hello", "stop"), 1_790_000_000_456, ("m1", "m2", "m3"), 3)
PAINTED = Reply(2, 1, "m1", Draft("look", "stop", images=("images/a", "images/b")), 1_790_000_000_456)
TALK = Conversation("c1", "anna", "websocket", "a@1", "e", 2, 1, 1_790_000_000_000, 1_790_000_000_000)
LIMITS = frames.Limits(1, 2, 3)


def sign(key: str) -> str:
    return f'https://files.example/{key}?a=1&b="2"'


def encode(event: Event) -> Frame:
    return websocket.encode(event, sign)


def is_as_described(name: str, frame: dict[str, Any]) -> bool:
    """Whether the frame fits the schema that the server publishes of it."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DESCRIBED["components"]}
    return jsonschema_rs.validator_for(schema).is_valid(frame)


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (websocket.connected("k1", Principal("anna", "anna", 1_790_000_000), TALK, LIMITS), "Connected"),
        (encode(Accepted("c1", "m1", 1, "hi", 0)), "MessageAccepted"),
        (encode(RunStarted("c1", QUESTION, "a@1")), "RunStarted"),
        (encode(Delta("c1", 1, 0, "hel")), "AssistantDelta"),
        (encode(Replied("c1", REPLY)), "AssistantResponse"),
        (encode(Replied("c1", FAILED)), "AssistantResponse"),
        (encode(Replied("c1", JOINT)), "AssistantResponse"),
        (encode(Replied("c1", PAINTED)), "AssistantResponse"),
        (websocket.history("c1", Page((QUESTION, REPLY, FAILED, JOINT, PAINTED), more=True), sign), "HistoryPage"),
        (websocket.opened(TALK), "ConversationOpened"),
        (websocket.conversations([TALK]), "Conversations"),
        (websocket.resumed(TALK, recovered=True), "Resumed"),
        (websocket.refused(TooMany("wait", retry_after=1.5), '{"action":"x","messageId":"m"}'), "ErrorFrame"),
        (websocket.snapshot(Snapshot("c1", 1, "m1", "hel")), "AssistantSnapshot"),
        (websocket.token_expiring(1_790_000_000), "TokenExpiring"),
        (websocket.token_refreshed(Principal("anna", "anna", 1_790_000_000)), "TokenRefreshed"),
        (websocket.disconnecting(100), "Disconnecting"),
        (websocket.pong(), "Pong"),
    ],
)
def test_every_frame_is_as_described(frame: Frame, name: str) -> None:
    assert is_as_described(name, json.loads(frame.data))


def test_every_type_of_frame_is_described() -> None:
    described = set(DESCRIBED["components"]["messages"])
    assert described == {kind.__name__ for kind in get_args(frames.ClientFrame) + get_args(frames.ServerFrame)}


@pytest.mark.parametrize(
    ("event", "offset", "turn", "delta"),
    [
        (Accepted("c1", "m1", 1, "hi", 0), 1, 0, False),
        (RunStarted("c1", QUESTION, "a@1"), 0, 1, False),
        (Delta("c1", 1, 0, "hel"), 0, 1, True),
        (Replied("c1", REPLY), 2, 1, False),
    ],
)
def test_a_frame_carries_what_the_hub_must_know(event: Event, offset: int, turn: int, delta: bool) -> None:
    frame = encode(event)
    assert (frame.conversation_id, frame.offset, frame.turn, frame.delta) == ("c1", offset, turn, delta)


def test_a_reply_to_several_messages_names_them_all_wherever_it_is_shown() -> None:
    shown = [
        json.loads(encode(Replied("c1", JOINT)).data),
        json.loads(websocket.replay("c1", JOINT, sign).data),
        json.loads(websocket.history("c1", Page((JOINT,), more=False), sign).data)["messages"][0],
    ]
    for one in shown:
        assert (one["messageId"], one["messageIds"]) == ("m1", ["m1", "m2", "m3"])
    frame = encode(Replied("c1", JOINT))
    assert (frame.turn, frame.through, frame.offset) == (1, 3, 4)


def test_a_reply_to_one_message_names_no_others() -> None:
    alone = encode(Replied("c1", REPLY))
    assert "messageIds" not in json.loads(alone.data)
    assert alone.through == alone.turn == 1


def test_a_failed_reply_keeps_the_seeds_shape() -> None:
    frame = json.loads(encode(Replied("c1", FAILED)).data)
    assert (frame["messageType"], frame["error"], frame["message"]) == ("assistantResponse", True, "sorry")
    assert (frame["code"], frame["retryable"]) == ("timeout", True)


def test_pictures_are_links_in_a_reply_in_its_replay_and_in_history() -> None:
    links = [sign("images/a"), sign("images/b")]
    page = json.loads(websocket.history("c1", Page((QUESTION, PAINTED), more=False), sign).data)
    assert [entry.get("images") for entry in page["messages"]] == [None, links]
    for frame in (encode(Replied("c1", PAINTED)), websocket.replay("c1", PAINTED, sign)):
        assert json.loads(frame.data)["images"] == links
    assert "images" not in json.loads(encode(Replied("c1", REPLY)).data)


def test_only_our_own_pictures_load_in_html() -> None:
    text = "![a](https://evil.example/pixel.png) <img src=https://evil.example/2.png>"
    reply = replace(PAINTED, draft=replace(PAINTED.draft, text=text))
    rich = encode(Replied("c1", reply)).rich
    assert rich is not None
    html = json.loads(rich())["html"]
    assert html.count("<img") == 2
    assert '<img src="https://files.example/images/a?a=1&amp;b=&quot;2&quot;" alt=""' in html
    assert "<img src=https://evil" not in html


def test_a_refusal_quotes_what_it_is_about() -> None:
    text = '{"action":"sendMessage","messageId":"m7","message":5}'
    with pytest.raises(BadInput) as refused:
        websocket.parse(text)
    frame = json.loads(websocket.refused(refused.value, text).data)
    assert (frame["code"], frame["action"], frame["messageId"]) == ("bad_frame", "sendMessage", "m7")
    assert "$.message" in frame["message"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_json"),
        ("ping", "bad_json"),
        ('{"action":"ping"} {}', "bad_json"),
        ('{"action":"sendMessage","message":NaN}', "bad_json"),
        (r'{"action":"sendMessage","message":"\ud800"}', "bad_json"),
        ("[" * 100_000, "bad_frame"),
        ('{"x":' * 100_000, "bad_json"),
        (b"\xff\xfe", "bad_json"),
        ("[]", "bad_frame"),
        ("null", "bad_frame"),
        ("{}", "unknown_action"),
        ('{"action":"dance"}', "unknown_action"),
        ('{"action":7}', "unknown_action"),
        ('{"action":"sendMessage"}', "bad_frame"),
        ('{"action":"sendMessage","message":"x","messageId":"a b"}', "bad_frame"),
        ('{"action":"sendMessage","message":"x","messageId":""}', "bad_frame"),
        ('{"action":"history","limit":0}', "bad_frame"),
        ('{"action":"history","limit":101}', "bad_frame"),
        ('{"action":"history","before":-1}', "bad_frame"),
        ('{"action":"history","before":99999999999}', "bad_frame"),
        ('{"action":"resume","after":0}', "bad_frame"),
        ('{"action":"resume","conversationId":"c","after":1.5}', "bad_frame"),
    ],
)
def test_what_is_wrong_with_a_frame_is_named(text: str | bytes, code: str) -> None:
    with pytest.raises(BadInput) as refused:
        websocket.parse(text)
    assert refused.value.code == code
    assert is_as_described("ErrorFrame", json.loads(websocket.refused(refused.value, text).data))


NAMING = {
    "sendMessage": ("messageId", "conversationId"),
    "cancel": ("messageId", "conversationId"),
    "history": ("conversationId",),
    "newConversation": ("assistant",),
    "resume": ("conversationId",),
}


@pytest.mark.parametrize(("action", "field"), [(action, field) for action, some in NAMING.items() for field in some])
@pytest.mark.parametrize("name", ["", "\0", "c_\0", "a b", "a\x7f", "ä", "debate@prod", "x" * 65])
def test_what_can_be_no_name_is_refused_and_its_field_is_named(action: str, field: str, name: str) -> None:
    text = json.dumps({"action": action, "message": "hi", "after": 0, "conversationId": "c_1", field: name})
    with pytest.raises(BadInput) as refused:
        websocket.parse(text)
    assert refused.value.code == "bad_frame"
    assert f"$.{field}" in refused.value.message


@pytest.mark.parametrize("name", ["assistant", "offline-demo", "a_1", "asst_abcDEF123", "a" * 64])
def test_whatever_an_assistant_may_be_called_is_taken(name: str) -> None:
    assert websocket.parse(json.dumps({"action": "newConversation", "assistant": name})) == frames.NewConversation(name)


def test_unknown_keys_are_ignored() -> None:
    assert websocket.parse('{"colour":"red","action":"ping"}') == frames.Ping()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
actions = st.fixed_dictionaries(
    {"action": st.sampled_from([*websocket.ACTIONS, "dance"])},
    optional=dict.fromkeys(("message", "messageId", "conversationId", "before", "after", "limit", "epoch"), values),
)


@given(st.one_of(st.text(), st.binary(), actions.map(json.dumps), values.map(json.dumps)))
def test_whatever_comes_is_an_action_or_a_refusal_that_can_be_sent(text: str | bytes) -> None:
    try:
        action = websocket.parse(text)
    except BadInput as error:
        refused = websocket.refused(error, text)
    else:
        assert isinstance(action, get_args(frames.ClientFrame))
        return
    assert is_as_described("ErrorFrame", json.loads(refused.data))
