"""The clients that people have: wscat from npm, and the websockets package's own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.scenario.process import ServerProcess

WSCAT = "wscat@6.1.0"
MESSAGE = '{ "action": "sendMessage", "message": "Hey, how is it going?" }'


@pytest.fixture(scope="session")
def wscat() -> Path:
    """Installed once, beside the virtual environment's other tools."""
    program = Path(sys.prefix) / "wscat" / "node_modules" / ".bin" / "wscat"
    if not program.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("no npm: wscat is not tried")
        folder = program.parents[2]
        folder.mkdir(exist_ok=True)
        options = "--no-save --no-fund --no-audit --silent --fetch-retries=0"
        if os.system(f"cd '{folder}' && '{npm}' install {options} {WSCAT} >/dev/null 2>&1") != 0:
            pytest.skip("npm cannot install wscat")
    return program


async def run(*command: str | Path, text: str | None = None, until: str = "assistantResponse") -> str:
    """What the program printed until it printed this."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    printed = ""
    try:
        if text is not None:
            process.stdin.write(text.encode() + b"\n")
        async with asyncio.timeout(20):
            while until not in printed:
                line = await process.stdout.readline()
                assert line, printed
                printed += line.decode()
    finally:
        process.kill()
        await process.wait()
    return printed


async def test_wscat_sends_the_seeds_message_and_shows_the_reply(server: ServerProcess, wscat: Path) -> None:
    url = server.socket(f"?Auth={server.token()}", path="/dev")
    printed = await run(wscat, "-c", url, "-x", MESSAGE, "-w", "20")
    reply = json.loads(printed[printed.rindex('{"messageType":"assistantResponse"') :].splitlines()[0])
    assert (reply["error"], reply["message"]) == (False, "You said: Hey, how is it going?")


async def test_the_client_that_needs_no_node_works_too(server: ServerProcess) -> None:
    url = server.socket(f"?Auth={server.token()}", path="/dev")
    printed = await run(Path(sys.prefix) / "bin" / "websockets", url, text=MESSAGE)
    assert '"message":"You said: Hey, how is it going?"' in printed
