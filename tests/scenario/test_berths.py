"""Those who end servers again and again also see the end that they did not bring about."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import SERVERS, scratch_database
from tests.scenario.berths import Life, berths
from tests.scenario.pair import Nodes
from tests.scenario.process import ROOT, ServerProcess, Start

ALONE = (("serve",),)
CRASHING = """
from server.entrypoints.logs import catch_the_rest, configure_logs
configure_logs("warning", "json")
catch_the_rest()
raise ExceptionGroup("unhandled", [KeyError("x")])
"""


async def test_what_nobody_caught_is_a_fault(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CRASHING), env={"PYTHONPATH": str(ROOT)}, cwd=tmp_path, stdout=PIPE, stderr=STDOUT
    )
    printed, _ = await process.communicate()
    [fault] = ServerProcess(process, tmp_path, 0, printed.decode().splitlines()).faults
    assert "process_crashed" in fault


async def test_a_server_that_had_ended_cannot_be_killed(server: ServerProcess) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert await server.process.wait() == 0
    with pytest.raises(AssertionError, match="it had ended with 0"):
        await server.kill()


@pytest.fixture
def nodes(start: Start) -> Iterator[Nodes]:
    with scratch_database(SERVERS["postgres"]) as url:
        yield Nodes(start, {"DATABASE_URL": url.replace("+psycopg", "")})


async def test_an_end_that_nobody_wanted_is_a_fault_and_a_kill_is_none(nodes: Nodes) -> None:
    async with berths(nodes, ALONE) as every:
        [berth] = every.all
        await berth.kill()
        crashing = await berth.ready()
        os.kill(crashing.process.pid, signal.SIGKILL)
        await crashing.process.wait()
        await berth.ready()
        await every.stop()
    assert every.faults == ["life-1: it ended by itself, with -9"]
    assert every.stillborn == []


async def test_a_server_that_does_not_come_up_is_told_of(nodes: Nodes) -> None:
    taken = socket.create_server(("127.0.0.1", nodes.ports[0]))
    asyncio.get_running_loop().call_later(1, taken.close)
    async with berths(nodes, ALONE) as every:
        await every.stop()
    assert every.miscarried == every.stillborn == every.lives[:-1] != []


@pytest.mark.parametrize(("trouble", "miscarried"), [((0, 9), True), ((0, 11), False), ((11, 20), False)])
def test_a_server_that_does_not_come_up_in_trouble_is_excused(trouble: tuple[float, float], miscarried: bool) -> None:
    assert Life(0, began=10, stillborn=12, troubles=[trouble]).miscarried() is miscarried
