"""That the benchmarks measure what they say. Never how much it is: that is for `make bench`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.settings import Settings
from tests.benchmarks import cluster, polls, rows
from tests.benchmarks.__main__ import measure, parser, scale_of
from tests.benchmarks.doors import accepts, cpu_of_a_handshake, introduce, memory_of_an_idle_socket
from tests.benchmarks.ledger import Ledger
from tests.benchmarks.machine import Cores
from tests.benchmarks.programs import Stage, Upstream
from tests.benchmarks.rounds import Scale
from tests.benchmarks.table import table
from tests.benchmarks.turns import cpu_of_a_late_turn, cpu_of_a_turn, first_words, first_words_of, one_after_another
from tests.benchmarks.webhooks import acknowledgements, posted, request, settings_for
from tests.benchmarks.yard import Size
from tests.fakes.twilio_server import twilio_server

UNPINNED = Cores(frozenset(), frozenset())
TINY = Scale(rounds=2, lanes=2, burst_turns=(1, 1))
TOKENS = 5


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(UNPINNED, tmp_path)


@pytest.fixture
async def upstream(stage: Stage) -> AsyncIterator[Upstream]:
    async with stage.upstream() as provider:
        provider.answers(length=TOKENS, interval=0.02)
        yield provider


@pytest.mark.parametrize("name", ["ours", "naive", "bare"])
async def test_every_turn_of_every_program_is_answered_and_counted(stage: Stage, upstream: Upstream, name: str) -> None:
    async with stage.program(name, upstream) as program:
        async with program.talkers(2) as opened:
            for talker in opened:
                await one_after_another(program, [talker, talker])
                assert talker.finals == 2
                assert talker.first_delta is not None
                # Ours greets once, accepts and begins each turn, and merges tokens that arrive together.
                most = 2 * (TOKENS + 1) + (1 + 2 * 2 if name == "ours" else 0)
                assert talker.frames <= most if name == "ours" else talker.frames == most
        assert await cpu_of_a_turn(program, lanes=2, turns=2) > 0
        assert await cpu_of_a_late_turn(program, lanes=2, earlier=1, turns=1) > 0
        assert await first_words(program, turns=1) > 0
    assert await first_words_of(upstream, turns=2) > 0


@pytest.mark.parametrize("name", ["ours", "idle"])
async def test_sockets_are_opened_and_left_alone(stage: Stage, upstream: Upstream, name: str) -> None:
    async with stage.program(name, upstream) as program:
        assert await memory_of_an_idle_socket(program, sockets=100) > 0
        people = await introduce(program, 3)
        assert await cpu_of_a_handshake(program, people) > 0
        async with program.talkers(3) as opened:
            assert [talker.frames for talker in opened] == [1 if name == "ours" else 0] * 3


async def test_accepts_are_counted_with_and_without_their_replies(stage: Stage, upstream: Upstream) -> None:
    async with stage.program("ours", upstream) as program:
        assert (await accepts(program, people=2, each=2, answered=True)).per_second > 0
        upstream.answers(length=TOKENS, first_delay=600)
        assert (await accepts(program, people=2, each=2, answered=False)).per_cpu_second > 0


@pytest.mark.parametrize("limited", [False, True])
async def test_webhooks_are_acknowledged_and_answered(stage: Stage, upstream: Upstream, limited: bool) -> None:
    async with (
        twilio_server() as twilio,
        stage.program("ours", upstream, **settings_for(twilio, limited=limited)) as program,
    ):
        taken = await acknowledgements(program, people=2, each=2, answered_by=twilio)
        assert taken.rate.per_cpu_second > 0
        assert taken.p99 > 0
        assert len({message.of("To") for message in twilio.messages}) == 2


async def test_a_webhook_that_is_not_taken_ends_the_measurement(stage: Stage, upstream: Upstream) -> None:
    async with (
        twilio_server() as twilio,
        stage.program("ours", upstream, **settings_for(twilio, limited=False)) as program,
    ):
        with pytest.raises(ConnectionError, match="403"):
            await posted(program.process.port, [request("+491701234567", 0).replace(b"NumMedia=0", b"NumMedia=1")])


def test_nobody_posts_more_than_the_limits_let_in() -> None:
    assert Scale().webhooks <= Settings.model_fields["texts_per_minute"].default


def test_what_has_no_ratio_is_held_against_its_bar_by_itself() -> None:
    ledger = Ledger()
    for value in (20, 501, 600):
        ledger.note("webhooks_p99", "ours", value)
    assert " ".join(table(ledger).splitlines()[1].split()).endswith("501 - - <= 500 MISSED")


async def test_what_a_program_gets_wrong_ends_the_measurement(stage: Stage, upstream: Upstream) -> None:
    async with stage.program("ours", upstream) as program, program.talkers(1) as (talker,):
        upstream.answers(fault="unauthorized")
        with pytest.raises(ConnectionError, match=r'"error":true'):
            await one_after_another(program, [talker])


async def test_each_round_gives_one_value_of_each_program_and_the_table_shows_them(tmp_path: Path) -> None:
    ledger = Ledger()
    await measure(["burst"], UNPINNED, TINY, ledger)
    for metric in ("turn_20_burst", "turn_200_burst", "token_burst"):
        assert {name: len(values) for name, values in ledger.values[metric].items()} == {
            "ours": 2,
            "naive": 2,
            "bare": 2,
        }
    assert len(table(ledger).splitlines()) == 1 + 3


def test_a_ratio_is_made_round_by_round_and_held_against_its_bar() -> None:
    ledger = Ledger()
    for ours, naive in ((10, 10), (30, 20), (130, 100)):
        ledger.note("turn_20_burst", "ours", ours)
        ledger.note("turn_20_burst", "naive", naive)
    _, row = table(ledger).splitlines()
    assert " ".join(row.split()).endswith("30.0 20.0 - 1.30 (1.00-1.50) naive <= 1.2 MISSED <= 1.0 (aim 0.7) MISSED")


def test_of_rates_the_ratio_is_that_of_the_costs() -> None:
    ledger = Ledger()
    ledger.note("handshakes", "ours", 1_000)
    ledger.note("handshakes", "idle", 2_000)
    assert " ".join(table(ledger).split()).endswith("1,000 - 2,000 2.00 (2.00-2.00) idle")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_cluster_is_measured_with_one_process_and_two_and_a_full_store(tmp_path: Path) -> None:
    size = Size(1, people=8, turns=1, connects=3, many_entries=60, many_rows=50, long_seconds=1, idle_seconds=1)
    shown = rows.table(await cluster.measured(UNPINNED, tmp_path, size)).splitlines()
    assert [line.count("MISSED") + line.count("ok") for line in shown[:10]] == [1, 0, 1, 0, 1, 0, 1, 0, 1, 0]
    counted = [line.split()[-2:] for line in shown[10:] if "TransactWriteItems" in line]
    assert len(counted) == 2
    assert all(float(calls) > 1 for line in counted for calls in line)


def test_a_ratio_of_ours_to_ours_is_held_against_its_bar() -> None:
    found = [rows.row("more is better", [(10, 18)], least=1.9), rows.row("less is better", [(10, 11)], most=1.1)]
    assert [line.split()[-1] for line in rows.table(found).splitlines()] == ["MISSED", "ok"]


def test_options_change_the_scale() -> None:
    scale = scale_of(parser().parse_args(["--quick", "--rounds", "7", "--sockets", "9"]))
    assert (scale.rounds, scale.idle_sockets) == (7, 9)


def test_the_table_of_polling_has_a_line_of_each_policy_and_median() -> None:
    _, *lines = polls.table(20).splitlines()
    assert len(lines) == len(polls.MEDIANS) * 6
    assert all(line.endswith(("ok", "MISSED")) == (", ours" in line) for line in lines)
    assert all(" 1.00" in line for line in lines if "oracle" in line)
