"""`make bench`: measures, and prints a table. A bar that is missed is told, and is no failure."""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from infra.cluster.emulator import NotInstalled
from tests.benchmarks import cluster, polls, rows
from tests.benchmarks.ledger import Ledger
from tests.benchmarks.machine import Cores, allow_many_sockets, cores, pinned
from tests.benchmarks.programs import Stage
from tests.benchmarks.rounds import MEASUREMENTS, QUICK, Bench, Scale
from tests.benchmarks.table import NOTES, table
from tests.benchmarks.yard import Size

POLLING = "polling"
CLUSTER = "cluster"
APART = {POLLING, CLUSTER}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    scale, ledger, names = scale_of(options), Ledger(), options.only or [*MEASUREMENTS, POLLING, CLUSTER]
    if served := [name for name in names if name not in APART]:
        measure_servers(served, scale, ledger)
    if POLLING in names:
        say(POLLING)
        print(f"\n{polls.table(scale.polled_runs)}\n\n{polls.NOTES}")
    if CLUSTER in names:
        say(CLUSTER)
        measure_cluster(quick=options.quick)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(ledger.values)))


def measure_servers(names: Sequence[str], scale: Scale, ledger: Ledger) -> None:
    where = cores()
    say(str(where))
    allow_many_sockets()
    with pinned(where.others):
        run(names, where, scale, ledger)
    print(f"\nPython {platform.python_version()}; {where}; {scale.rounds} rounds\n\n{table(ledger)}\n\n{NOTES}")


def measure_cluster(*, quick: bool) -> None:
    where = cores()
    size = Size(rounds=2, turns=3) if quick else Size()
    with pinned(where.others), tempfile.TemporaryDirectory(prefix="switchboard-bench-") as folder:
        try:
            found = asyncio.run(cluster.measured(where, Path(folder), size))
        except (pytest.skip.Exception, NotInstalled) as missing:
            say(f"not measured: {missing}")
            return
    print(f"\n{where}; {size.rounds} rounds\n\n{rows.table(found)}\n\n{cluster.NOTES}")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute instead of four; noisier")
    parser.add_argument(
        "--only", action="append", choices=[*MEASUREMENTS, *sorted(APART)], help="measure this alone; may be repeated"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything is measured")
    parser.add_argument("--sockets", type=int, metavar="N", help="how many idle ones are opened")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the values of all rounds")
    return parser


def scale_of(options: argparse.Namespace) -> Scale:
    scale = QUICK if options.quick else Scale()
    return replace(scale, rounds=options.rounds or scale.rounds, idle_sockets=options.sockets or scale.idle_sockets)


def run(names: Sequence[str], where: Cores, scale: Scale, ledger: Ledger) -> None:
    """On uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(measure(names, where, scale, ledger))
    else:
        uvloop.run(measure(names, where, scale, ledger))


async def measure(names: Sequence[str], where: Cores, scale: Scale, ledger: Ledger) -> None:
    with tempfile.TemporaryDirectory(prefix="switchboard-bench-") as folder:
        stage = Stage(where, Path(folder))
        async with stage.upstream() as upstream:
            bench = Bench(stage, upstream, scale, ledger)
            for name in names:
                say(name)
                await MEASUREMENTS[name](bench)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
