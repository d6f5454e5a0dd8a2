"""The scripts, beside a running server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.fakes.openai_server import FakeOpenAI
from tests.scenario.client import Client, client
from tests.scenario.process import ServerProcess, Start, run_command, run_module

KIND = "name: support\ninstructions: Be kind.\n"
BRIEF = "name: support\ninstructions: Be brief.\n"
LOOK_SECONDS = 1.1


async def script(name: str, *arguments: str, data_dir: Path, **settings: object) -> str:
    code, output, errors = await run_module(f"assistant_scripts.{name}", *arguments, data_dir=data_dir, **settings)
    assert (code, errors) == (0, "")
    return output


def write(data_dir: Path, text: str) -> str:
    (data_dir / "support.yaml").write_text(text)
    return "support.yaml"


async def answered_by(anna: Client, provider: FakeOpenAI) -> tuple[str, str]:
    """The label that the person sees, and the instructions that the model gets."""
    await anna.ask("hello")
    return anna.of("runStarted")[-1]["assistant"], provider.questions[-1].body["instructions"]


async def test_a_running_server_uses_an_update_from_the_next_turn_on(
    start: Start, provider: FakeOpenAI, tmp_path: Path
) -> None:
    created = await script("create_assistant", write(tmp_path, KIND), "--stage", "dev", data_dir=tmp_path)
    assert created.splitlines()[-1] == "ASSISTANT_ID=support@dev"
    async with start(ASSISTANT_ID="support@dev") as server, client(server) as anna:
        first, told = await answered_by(anna, provider)
        assert told == "Be kind."
        output = await script("update_assistant", write(tmp_path, BRIEF), "--json", data_dir=tmp_path)
        await asyncio.sleep(LOOK_SECONDS)
        second, told = await answered_by(anna, provider)
        assert told == "Be brief."
        assert second == f"support@{json.loads(output)['version'][:12]}"
        await script("rollback", "support", data_dir=tmp_path)
        await asyncio.sleep(LOOK_SECONDS)
        assert await answered_by(anna, provider) == (first, "Be kind.")
        await script("delete", "support", "--everywhere", data_dir=tmp_path)
        await asyncio.sleep(LOOK_SECONDS)
        assert await answered_by(anna, provider) == (first, "Be kind.")
    code, _, errors = await run_command("serve", data_dir=tmp_path, ASSISTANT_ID="support@dev", OPENAI_API_KEY="sk-1")
    assert code == 2
    assert "ASSISTANT_ID=support@dev: There is no assistant 'support@dev'." in errors
    assert "create_assistant" in errors


async def test_a_conversation_is_begun_with_an_assistant_by_its_name(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    async with client(server) as anna:
        opened = await anna.answer("newConversation", "conversation", assistant="debate")
        assert opened["assistant"] == "debate"
        label, told = await answered_by(anna, provider)
        assert label.startswith("debate@")
        assert "You are Kopi." in told
        for unknown in ("nobody", "asst_abc"):
            refused = await anna.answer("newConversation", "error", assistant=unknown)
            assert (refused["code"], refused["retryable"]) == ("unknown_assistant", False)
        assert (await anna.answer("newConversation", "error", assistant="debate@prod"))["code"] == "bad_frame"
        listed = await anna.answer("listConversations", "conversations")
        assert [one["assistant"] for one in listed["conversations"]] == ["debate", "assistant"]
        assert (await answered_by(anna, provider))[0] == label


async def test_versions_are_listed_shown_and_compared(tmp_path: Path) -> None:
    async def run(name: str, *arguments: str) -> Any:
        return await script(name, *arguments, data_dir=tmp_path)

    await run("create_assistant", write(tmp_path, KIND))
    await run("promote", "support", "dev", "--stage", "prod")
    await run("update_assistant", write(tmp_path, BRIEF))
    rows = [line.split() for line in (await run("list_assistants")).splitlines()]
    assert [row[0] for row in rows[:3]] == ["ASSISTANT_ID", "support@dev", "support@prod"]
    assert {"assistant", "debate", "images", "screening"} <= {row[0] for row in rows}
    shown = await run("show", "support")
    assert (tmp_path / "support.yaml").read_text() == "".join(
        line for line in shown.splitlines(keepends=True) if not line.startswith("#")
    )
    assert "\033" not in shown
    difference = (await run("show", "support", "dev", "--diff", "prod")).splitlines()
    assert difference[-2:] == ["-instructions: Be kind.", "+instructions: Be brief."]
    whole = json.loads(await run("show", "support", "--json"))
    assert whole["definition"]["instructions"] == "Be brief."
    assert len(whole["versions"]) == 2


async def test_what_is_refused_says_why_and_ends_with_two(tmp_path: Path) -> None:
    for arguments, complaint in (
        (("create_assistant", "nonsense"), "those are assistant, debate"),
        (("create_assistant", write(tmp_path, KIND + "temprature: 1")), "did you mean temperature?"),
        (("update_assistant", "none.yaml"), "none.yaml cannot be read"),
        (("promote", "support", "dev", "--stage", "deadbeef"), "reads as a version"),
        (("show", "support"), "There is no support in stage dev"),
        (("rollback", "support", "--stage", "prod"), "There is no support in stage prod"),
        (("delete", "support"), "There is no support in stage dev"),
    ):
        name, *rest = arguments
        code, output, errors = await run_module(f"assistant_scripts.{name}", *rest, data_dir=tmp_path)
        assert (code, output) == (2, "")
        assert complaint in errors
    code, _, errors = await run_module("assistant_scripts.list_assistants", data_dir=tmp_path, BACKEND="memory")
    assert (code, "nothing to work on" in errors) == (2, True)


async def test_the_threads_engine_has_its_object_at_the_provider(provider: FakeOpenAI, tmp_path: Path) -> None:
    settings = {"ENGINE": "threads", "OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": "sk-test-canary"}

    async def run(name: str, *arguments: str) -> Any:
        return json.loads(await script(name, *arguments, "--json", data_dir=tmp_path, **settings))

    made = (await run("create_assistant", write(tmp_path, KIND)))["providerId"]
    assert provider.kept.assistants[made]["instructions"] == "Be kind."
    assert (await run("update_assistant", write(tmp_path, BRIEF)))["providerId"] == made
    assert provider.kept.assistants[made]["instructions"] == "Be brief."
    other = (await run("promote", "support", "dev", "--stage", "prod"))["providerId"]
    assert other not in {None, made}
    assert (await run("rollback", "support"))["providerId"] == made
    assert provider.kept.assistants[made]["instructions"] == "Be kind."
    await run("delete", "support", "--everywhere")
    assert provider.kept.assistants == {}
    provider.assistants_gone = True
    code, _, errors = await run_module("assistant_scripts.create_assistant", "debate", data_dir=tmp_path, **settings)
    assert (code, "does not serve Assistants" in errors) == (2, True)


async def test_the_threads_engine_runs_the_object_that_the_scripts_made(
    start: Start, provider: FakeOpenAI, tmp_path: Path
) -> None:
    settings = {"ENGINE": "threads", "OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": "sk-test-canary"}
    output = await script("create_assistant", write(tmp_path, KIND), "--json", data_dir=tmp_path, **settings)
    made = json.loads(output)["providerId"]
    async with start(ENGINE="threads", ASSISTANT_ID="support") as server, client(server) as anna:
        reply = await anna.ask("hello")
        assert (reply["error"], reply["message"]) == (False, "You said: hello")
    begun = [one.body for one in provider.requests if one.method == "POST" and one.path.endswith("/runs")]
    assert [one["assistant_id"] for one in begun] == [made]


async def test_an_assistant_can_be_made_before_the_first_server_was_started(tmp_path: Path) -> None:
    code, output, errors = await run_module(
        "assistant_scripts.create_assistant", "debate", data_dir=tmp_path, DATA_DIR=tmp_path / "new" / "folder"
    )
    assert (code, errors) == (0, "")
    assert output.splitlines()[-1] == "ASSISTANT_ID=debate@dev"


async def test_a_tool_that_no_server_has_is_pointed_out(tmp_path: Path) -> None:
    write(tmp_path, KIND + "tools: [current_tme, recall]\n")
    code, output, errors = await run_module("assistant_scripts.create_assistant", "support.yaml", data_dir=tmp_path)
    assert (code, output.splitlines()[-1]) == (0, "ASSISTANT_ID=support@dev")
    assert errors == "Note: the server has no tool current_tme, and does without.\n"
