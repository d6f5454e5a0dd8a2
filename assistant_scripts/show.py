"""Show a version of an assistant, as a file that update_assistant takes; or how it differs from another."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from assistant_scripts import command
from assistant_scripts.desk import Desk, Written, holding
from assistant_scripts.report import Ink, Report, coloured, diff, short, when
from server.assistant.files import write
from server.model import Move, Version

A_VERSION = "at least 8 digits of one, or the stage that has it, or shipped"


async def show(desk: Desk, given: argparse.Namespace, ink: Ink) -> Report:
    shown = await desk.find(given.name, given.version)
    if given.diff is not None:
        difference = diff(await desk.find(given.name, given.diff), shown)
        return Report(coloured(difference, ink) or "There is no difference.", {"diff": difference})
    versions, moves = await desk.shelf.versions(given.name), await desk.shelf.moves(given.name)
    head = ink("dim", "\n".join(f"# {line}" for line in about(shown, versions, moves)))
    return Report(f"{head}\n{write(shown.definition)}".rstrip(), data(shown, versions, moves))


def about(shown: Written, versions: Sequence[Version], moves: Sequence[Move]) -> Iterator[str]:
    yield f"{shown.definition.name}, version {shown.version}"
    if all(one.id != shown.version for one in versions):
        yield "ships with the server"
    for version in versions:
        stages = [move.stage for move in holding(moves) if move.version == version.id]
        mark = "*" if version.id == shown.version else " "
        yield f"{mark} {short(version.id)}  {when(version.created_at)}  {', '.join(stages)}".rstrip()


def data(shown: Written, versions: Sequence[Version], moves: Sequence[Move]) -> Mapping[str, Any]:
    return {
        "name": shown.definition.name,
        "version": shown.version,
        "definition": msgspec.to_builtins(shown.definition),
        "versions": [{"version": one.id, "createdAt": one.created_at} for one in versions],
        "moves": [
            {"stage": one.stage, "version": one.version, "movedAt": one.moved_at, "undone": one.undone} for one in moves
        ],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.parser("show", __doc__)
    options.add_argument("name", metavar="NAME", help="of the assistant")
    options.add_argument("version", metavar="VERSION", nargs="?", default="", help=f"{A_VERSION} (default: --stage's)")
    options.add_argument("--diff", metavar="OTHER", help=f"what is different from this version: {A_VERSION}")
    return command.run(options, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
