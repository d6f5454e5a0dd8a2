"""Whatever a client sends, it gets an error frame or the right close code, and nobody else notices."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import pytest
import websockets
from hypothesis import HealthCheck, given, settings

from tests.scenario.client import client
from tests.scenario.process import ServerProcess
from tests.unit.test_frames import actions, values

HOSTILE: list[tuple[str, str | bytes]] = [
    ("empty", ""),
    ("not JSON", "hello"),
    ("deep", "[" * 60_000),
    ("deep objects", '{"a":' * 20_000),
    ("NaN", '{"action":"sendMessage","message":NaN}'),
    ("surrogate", r'{"action":"sendMessage","message":"\udfff"}'),
    ("nul", r'{"action":"sendMessage","message":"a\u0000b"}'),
    ("nul in an id", r'{"action":"cancel","conversationId":"\u0000"}'),
    ("nul in a name", r'{"action":"newConversation","assistant":"\u0000"}'),
    ("number too large", '{"action":"history","before":1' + "0" * 400 + "}"),
    ("unknown action", '{"action":"' + "x" * 100_000 + '"}'),
    ("long message", json.dumps({"action": "sendMessage", "message": "x" * 120_000})),
    ("binary nonsense", b"\x00\xff\x00"),
    ("binary JSON", b'{"action":"dance"}'),
]


async def closing_code(server: ServerProcess, data: str | bytes) -> int:
    """What the socket was closed with after this text frame."""
    async with websockets.connect(server.socket(f"?Auth={server.token()}"), compression=None) as socket:
        await socket.recv()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await both(socket, data)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def both(socket: websockets.ClientConnection, data: str | bytes) -> None:
    await socket.send(data, text=True)
    await socket.recv()


async def test_hostile_frames_get_an_error_each_and_the_socket_lives(server: ServerProcess) -> None:
    async with client(server) as anna:
        for name, data in HOSTILE:
            await anna.socket.send(data)
            frame = await anna.frame()
            assert frame["messageType"] == "error", name
            assert frame["retryable"] is False, name
            assert len(json.dumps(frame)) < 1_000, name
        assert (await anna.ask("still here"))["message"] == "You said: still here"


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\xff\xfe", 1007), (b'{"action":"ping", "x": "\xc3\x28"}', 1007), ("x" * (128 * 1024 + 1), 1009)],
)
async def test_frames_that_are_no_text_or_too_large_close_with_their_code(
    server: ServerProcess, data: str | bytes, code: int
) -> None:
    assert await closing_code(server, data) == code


@pytest.mark.slow
async def test_random_frames_never_harm(server: ServerProcess) -> None:
    seen: list[str | bytes] = []

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.one_of(st.text(), st.binary(max_size=200), actions.map(json.dumps), values.map(json.dumps)))
    def collect(frame: str | bytes) -> None:
        seen.append(frame)

    collect()
    async with client(server, "ben") as ben:
        async with client(server) as anna:
            for frame in seen:
                await anna.socket.send(frame)
            await anna.answer("ping", "pong")
            kinds = {frame["messageType"] for frame in anna.frames}
            assert "error" in kinds
        assert (await ben.ask("hello"))["message"] == "You said: hello"
    assert "session_crashed" not in server.printed()
