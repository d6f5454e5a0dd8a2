"""`python -m server chat`, as the process that a person starts, at a terminal and at a pipe."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from server.auth.local_pool import LocalUserPool
from tests.fakes.openai_server import Answer, FakeOpenAI, Fault
from tests.ports import quiet_port
from tests.scenario.client import client
from tests.scenario.process import ServerProcess, Start, environment
from tests.terminal import Terminal

PATIENCE = 30
STORY = tuple(f" word{number}" for number in range(40))


async def start_chat(data_dir: Path, *arguments: str, **settings: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "server", "chat", *arguments),
        env=environment(data_dir, **settings),
        cwd=data_dir,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def pipe(text: str, data_dir: Path, *arguments: str, **settings: object) -> tuple[int | None, str, str]:
    """Exit code, standard output, standard error."""
    process = await start_chat(data_dir, *arguments, **settings)
    output, errors = await asyncio.wait_for(process.communicate(text.encode()), PATIENCE)
    return process.returncode, output.decode(), errors.decode()


class Window:
    """A client in a terminal, and somebody who types."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: Terminal, master: int, slave: int) -> None:
        self.process = process
        self.terminal = terminal
        self._master = master
        self._slave = slave
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        self.terminal.write(os.read(self._master, 65536).decode(errors="replace"))
        self._news.set()

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    async def until(self, text: str, times: int = 1) -> str:
        """The screen, once it shows this."""
        try:
            async with asyncio.timeout(PATIENCE):
                while str(self.terminal).count(text) < times:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"never shown: {text}\n{self.terminal}") from None
        return str(self.terminal)

    def resize(self, columns: int) -> None:
        self.terminal.resize(columns)
        set_size(self._slave, columns, self.terminal.lines)

    async def end(self) -> int:
        code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        await asyncio.sleep(0)
        return code

    def shows_keys(self) -> bool:
        """As a terminal does that no program has taken over."""
        return bool(termios.tcgetattr(self._slave)[3] & termios.ECHO)


def set_size(terminal: int, columns: int, lines: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@asynccontextmanager
async def window(
    data_dir: Path, *arguments: str, terminal: Terminal | None = None, **settings: object
) -> AsyncIterator[Window]:
    terminal = terminal or Terminal(80)
    master, slave = os.openpty()
    set_size(slave, terminal.columns, terminal.lines)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "server", "chat", *arguments),
        env=environment(data_dir, **{"TERM": "xterm", **settings}),
        cwd=data_dir,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=partial(fcntl.ioctl, slave, termios.TIOCSCTTY, 0),
    )
    shown = Window(process, terminal, master, slave)
    try:
        yield shown
        assert "Traceback" not in str(shown.terminal)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)
        os.close(slave)


# --- a pipe --------------------------------------------------------------------------------------------------------


async def test_a_pipe_gets_the_reply_and_nothing_else(server: ServerProcess) -> None:
    assert await pipe("Hey\n", server.data_dir, PORT=server.port) == (0, "You said: Hey\n", "")


async def test_each_line_is_a_message_and_commands_work_by_pipe_too(server: ServerProcess) -> None:
    typed = "one\n\n  two\n/history\n/new\nthree\n/list\n/history 1\nfour"
    code, output, _ = await pipe(typed, server.data_dir, "--user", "anna", PORT=server.port)
    said = ["you: one", "assistant: You said: one", "you: two", "assistant: You said: two"]
    lines = output.splitlines()
    assert code == 0
    assert lines[:7] == ["You said: one", "You said: two", *said, "You said: three"]
    assert lines[7].startswith(" 1 * ")
    assert lines[8].startswith(" 2   ")
    assert lines[9:] == ["assistant: You said: three", "You said: four"]


async def test_a_server_killed_in_the_middle_of_a_reply_costs_a_pipe_nothing(
    start: Start, provider: FakeOpenAI, tmp_path: Path
) -> None:
    provider.script(Answer(tokens=STORY, interval=0.05), normal=Answer(tokens=STORY))
    async with start(PORT=quiet_port()) as first:
        token = first.token()
        async with client(first) as other:
            chat = await start_chat(tmp_path, "--url", first.socket(), SWITCHBOARD_TOKEN=token)
            assert chat.stdin is not None
            chat.stdin.write(b"tell me\n/history\n")
            chat.stdin.close()
            await other.until("assistantDelta")
            await first.kill()
    async with start(PORT=first.port):
        output, errors = await asyncio.wait_for(chat.communicate(), PATIENCE)
    whole = "".join(STORY)
    assert output.decode() == f"{whole}\nyou: tell me\nassistant: {whole}\n"
    assert "Connected again" in errors.decode()
    assert token not in errors.decode()
    assert chat.returncode == 0


async def test_an_earlier_conversation_is_opened_by_its_number_or_its_id(server: ServerProcess) -> None:
    typed = "one\n/new\ntwo\n/list\n/open 2\nthree\n/history 2\n/new\nfour\n/list\n"
    code, output, _ = await pipe(typed, server.data_dir, PORT=server.port)
    first, second = (["you: one", "assistant: You said: one"], ["you: three", "assistant: You said: three"])
    lines = output.splitlines()
    assert code == 0
    assert lines[4:9] == [*first, "You said: three", *second]
    assert [line[:4] for line in lines[10:]] == [" 1 *", " 2  ", " 3  "]
    name = lines[11].split()[-1]
    code, output, errors = await pipe(f"/open {name}\nfive\n/open no-such\nsix", server.data_dir, PORT=server.port)
    assert (code, output.splitlines()) == (1, [*first, *second, "You said: five", "You said: six"])
    assert len(errors.splitlines()) == 3


async def test_help_says_how_it_is_called(tmp_path: Path) -> None:
    code, output, _ = await pipe("", tmp_path, "--help")
    assert code == 0
    assert all(option in output for option in ("--user", "--token", "--url"))


@pytest.mark.slow
async def test_without_a_server_a_pipe_is_told_how_to_start_one(tmp_path: Path) -> None:
    began = time.monotonic()
    code, output, errors = await pipe("Hey\n", tmp_path, "--token", "x", PORT=9)
    assert (code, output) == (1, "")
    assert "make run PORT=9" in errors
    assert errors.count("No server answers") == 2
    assert time.monotonic() - began < 15


async def test_a_reply_that_failed_fails_the_pipe(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(fault=Fault.INSUFFICIENT_QUOTA))
    code, output, errors = await pipe("Hey\nHey\n", server.data_dir, PORT=server.port)
    assert (code, output) == (1, "You said: Hey\n")
    assert errors.strip()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_ends_a_pipe_in_good_order(
    server: ServerProcess, provider: FakeOpenAI, number: int, code: int
) -> None:
    provider.script(Answer(first_delay=PATIENCE))
    chat = await start_chat(server.data_dir, "--url", server.socket(), "--token", server.token())
    assert chat.stdin is not None
    chat.stdin.write(b"Hey\n")
    await provider.until(lambda: bool(provider.questions), PATIENCE)
    chat.send_signal(number)
    assert await asyncio.wait_for(chat.wait(), PATIENCE) == code
    assert await chat.communicate() == (b"", b"")


async def test_who_is_not_let_in_is_told_why(server: ServerProcess, tmp_path: Path) -> None:
    url = ("--url", server.socket())
    pool = LocalUserPool.open(server.data_dir)
    old, good = pool.token("anna", lifetime_seconds=-5), pool.token("anna")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    expired, foreign, wrong_path = await asyncio.gather(
        pipe("Hey", tmp_path, *url, "--token", old),
        pipe("Hey", elsewhere, *url),
        pipe("Hey", tmp_path, "--url", server.socket(path="/nothing"), "--token", good),
    )
    for (code, output, errors), why in ((expired, "expired"), (foreign, "DATA_DIR"), (wrong_path, "/ws")):
        assert (code, output) == (1, "")
        assert why in errors
        assert old not in errors


# --- a terminal ----------------------------------------------------------------------------------------------------


async def test_a_person_types_reads_cancels_and_leaves(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=STORY * 50, interval=0.05))
    async with window(server.data_dir, "--user", "anna", PORT=server.port) as anna:
        greeting = await anna.until("/help")
        assert "as anna; gpt-6-luna at 127.0.0.1 answers." in " ".join(greeting.split())
        assert not anna.shows_keys()
        anna.press("tell mee\x7f everything\r")
        await anna.until("word5")
        screen = await anna.until("\n>\nanswering")
        assert "\n> tell me everything\n word0" in screen
        anna.press("and then?\r")
        await anna.until("answering, 1 more waiting")
        anna.press("\x03")
        screen = await anna.until("You said: and then?")
        assert "\n· cancelled\n\n> and then?\nYou said: and then?" in screen
        anna.press("/quit\r")
        assert await anna.end() == 0
        assert anna.shows_keys()
    assert provider.questions[0].client_left


@pytest.mark.parametrize("key", ["\x03", "\x04"])
async def test_ctrl_c_and_ctrl_d_leave_an_idle_prompt(server: ServerProcess, key: str) -> None:
    async with window(server.data_dir, "--url", server.socket(), "--token", server.token()) as anna:
        await anna.until("/help")
        anna.press(f"half a line{key}")
        anna.press("\x7f" * 11 + key)
        assert await anna.end() == 0
        assert anna.shows_keys()


async def test_a_server_killed_in_the_middle_of_a_reply_costs_a_person_nothing(
    start: Start, provider: FakeOpenAI, tmp_path: Path
) -> None:
    provider.script(Answer(tokens=STORY, interval=0.05))
    async with start(PORT=quiet_port()) as first:
        token = first.token()
        anna_comes = window(tmp_path, "--url", first.socket(), SWITCHBOARD_TOKEN=token)
        async with anna_comes as anna:
            anna.press("tell me\r")
            await anna.until("word3")
            await first.kill()
            await anna.until("No server answers")
            anna.press("are you there?\r")
            await anna.until("1 to send")
            provider.script(Answer(tokens=STORY))
            async with start(PORT=first.port):
                await anna.until("You said: are you there?")
                anna.press("\x04")
                assert await anna.end() == 0
            before, _, after = str(anna.terminal).partition("the reply begins anew")
    assert "word3" in before
    assert " ".join(after.split()) == " ".join(["".join(STORY).strip(), "> are you there?", "You said: are you there?"])
    assert str(anna.terminal).count("> tell me") == 1
    assert len(provider.questions) == 3


@pytest.mark.parametrize("reflows", [True, False])
async def test_a_terminal_resized_in_the_middle_of_a_reply_shows_nothing_twice(
    server: ServerProcess, provider: FakeOpenAI, reflows: bool
) -> None:
    provider.script(Answer(tokens=STORY, interval=0.05))
    async with window(
        server.data_dir, "--user", "anna", PORT=server.port, terminal=Terminal(80, 40, reflows=reflows)
    ) as anna:
        await anna.until("/help")
        anna.press("tell me\r")
        for number, columns in ((5, 30), (15, 100), (25, 45)):
            await anna.until(f"word{number}")
            anna.resize(columns)
        screen = await anna.until("\n>\nconnected")
    told = " ".join(screen.split())
    assert told.startswith("· Connected to ")
    assert told.endswith(f"Ctrl-D leaves. > tell me{''.join(STORY)} > connected")
    assert (told.count("Connected"), told.count("tell me")) == (1, 1)


async def test_another_conversation_is_opened_at_a_terminal(server: ServerProcess) -> None:
    async with window(server.data_dir, "--user", "anna", PORT=server.port) as anna:
        anna.press("one\r")
        await anna.until("You said: one\n>\nconnected")
        anna.press("/new\r")
        await anna.until("A new conversation.")
        anna.press("/list\r")
        await anna.until(" 2   ")
        anna.press("/open 2\r")
        screen = await anna.until("This is where you are now.")
        assert "· the beginning\n\n> one\nYou said: one\n· This is where you are now." in screen
        anna.press("/list\r")
        assert " 2 * " in await anna.until(" 2 * ")


async def test_lines_are_edited_pasted_and_called_back_at_a_terminal(server: ServerProcess) -> None:
    async with window(server.data_dir, "--user", "anna", PORT=server.port) as anna:
        await anna.until("/help")
        anna.press("w\x1b[200~漢字\rtwo\x1b[201~\x01new \r")
        screen = await anna.until("You said: w漢字\nnew two\n>\nconnected")
        assert "\n\n> w漢字\n  new two\nYou said:" in screen
        anna.press("\x1b[A!\r")
        await anna.until("You said: w漢字\nnew two!")


@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
async def test_colours_are_for_terminals_whose_owner_wants_them(
    server: ServerProcess, no_colour: str, coloured: bool
) -> None:
    async with window(server.data_dir, "--user", "anna", PORT=server.port, NO_COLOR=no_colour) as anna:
        await anna.until("/help")
        assert anna.terminal.is_coloured is coloured


async def test_what_is_said_on_another_device_is_shown(server: ServerProcess) -> None:
    async with window(server.data_dir, "--url", server.socket(), "--token", server.token()) as anna:
        await anna.until("/help")
        async with client(server) as phone:
            await phone.ask("from my phone")
        screen = await anna.until("You said: from my phone")
        assert "> (from another device) from my phone\nYou said: from my phone" in screen


# --- a server that does what it is told ------------------------------------------------------------------------------


Play = Callable[[ServerConnection, int], Awaitable[None]]
CONNECTED = {
    "messageType": "connected",
    "connectionId": "k",
    "userId": "u",
    "epoch": "e",
    "conversationId": "c",
    "offset": 0,
    "expiresAt": "2030-01-01T00:00:00Z",
    "limits": {"messageBytes": 100, "frameBytes": 1000, "messagesPerMinute": 0},
}


@asynccontextmanager
async def stage(play: Play) -> AsyncIterator[tuple[str, list[float]]]:
    """Its address, and when each connection came."""
    came: list[float] = []

    async def act(socket: ServerConnection) -> None:
        came.append(time.monotonic())
        await say(socket, **CONNECTED)
        await play(socket, len(came))

    async with serve(act, "127.0.0.1", 0, compression=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws", came


async def say(socket: ServerConnection, **frame: Any) -> None:
    await socket.send(json.dumps(frame))


async def hear(socket: ServerConnection, action: str) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
    assert frame["action"] == action
    return frame


async def resume(socket: ServerConnection) -> None:
    await hear(socket, "resume")
    await say(socket, messageType="resumed", conversationId="c", epoch="e", recovered=True, offset=0)


async def answer(socket: ServerConnection, message_id: str) -> None:
    about = {"conversationId": "c", "messageId": message_id}
    await say(socket, messageType="messageAccepted", offset=1, text="Hey", duplicate=False, **about)
    await say(socket, messageType="somethingNewer", whatever=[1])
    reply = {"error": False, "message": "Hello", "replyId": "r", "offset": 2, "finishReason": "stop"}
    await say(socket, messageType="assistantResponse", **reply, **about)


@pytest.mark.parametrize("kind", ["xterm", "dumb"])
async def test_a_reply_cannot_command_the_terminal(tmp_path: Path, kind: str) -> None:
    evil = "\x1b]52;c;aGk=\x07\x1b[2J\x9b2Jtab\there\r\nend"

    async def command(socket: ServerConnection, number: int) -> None:
        message = await hear(socket, "sendMessage")
        about = {"conversationId": "c", "messageId": message["messageId"], "replyId": "r"}
        await say(socket, messageType="runStarted", assistant="a@1", **about)
        await say(socket, messageType="assistantDelta", conversationId="c", replyId="r", at=0, text=evil)
        ended = {"error": False, "message": evil, "offset": 2, "finishReason": evil}
        await say(socket, messageType="assistantResponse", **ended, **about)
        await say(socket, messageType="error", code="x", message=evil, retryable=False)
        await socket.wait_closed()

    async with (
        stage(command) as (url, _),
        window(tmp_path, "--url", url, "--token", "x", TERM=kind) as anna,
    ):
        anna.press("Hey\n")
        screen = await anna.until("end", 3)
        assert screen.count("�]52;c;aGk=��[2J�2Jtab    here") == 3


async def test_a_server_that_restarts_is_left_alone_for_as_long_as_it_asks(tmp_path: Path) -> None:
    asked: list[str] = []

    async def restart(socket: ServerConnection, number: int) -> None:
        if number == 1:
            asked.append((await hear(socket, "sendMessage"))["messageId"])
            await say(socket, messageType="disconnecting", reconnect=True, afterMs=1500)
            await socket.close(1012)
            return
        await resume(socket)
        asked.append((await hear(socket, "sendMessage"))["messageId"])
        await answer(socket, asked[-1])
        await socket.wait_closed()

    async with stage(restart) as (url, came):
        code, output, _ = await pipe("Hey\n", tmp_path, "--url", url, "--token", "x")
    assert (code, output) == (0, "Hello\n")
    assert came[1] - came[0] >= 1.5
    assert len(set(asked)) == 1


async def test_a_token_of_the_local_pool_is_renewed_by_itself(tmp_path: Path) -> None:
    tokens: list[str] = []

    async def expire(socket: ServerConnection, number: int) -> None:
        assert socket.request is not None
        tokens.append(socket.request.headers["Authorization"].removeprefix("Bearer "))
        if number == 1:
            await socket.close(4401, "token expired")
            return
        await resume(socket)
        await say(socket, messageType="tokenExpiring", expiresAt="2030-01-01T00:00:00Z")
        message = await hear(socket, "sendMessage")
        tokens.append((await hear(socket, "refreshToken"))["token"])
        await say(socket, messageType="tokenRefreshed", expiresAt="2030-01-02T00:00:00Z")
        await answer(socket, message["messageId"])
        await socket.wait_closed()

    async with stage(expire) as (url, _):
        code, output, errors = await pipe("Hey\n", tmp_path, "--url", url)
    assert (code, output) == (0, "Hello\n")
    assert len(set(tokens)) == 3
    assert not any(token in errors for token in tokens)


@pytest.mark.parametrize(("code", "reason"), [(4500, "you are banned"), (1008, "not like this")])
async def test_a_server_that_closes_for_good_is_believed(tmp_path: Path, code: int, reason: str) -> None:
    async def close(socket: ServerConnection, number: int) -> None:
        await socket.close(code, reason)

    async with stage(close) as (url, came):
        ended, output, errors = await pipe("Hey\n", tmp_path, "--url", url, "--token", "x")
    assert (ended, output, len(came)) == (1, "", 1)
    assert reason in errors
