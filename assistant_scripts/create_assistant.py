"""Create an assistant in a stage: from a file, or one that ships with the server."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from assistant_scripts import command
from assistant_scripts.desk import Desk
from assistant_scripts.report import Ink, Report, of_change
from server.assistant.files import read_definition
from server.errors import BadInput
from server.model import Definition


async def create(desk: Desk, given: argparse.Namespace, ink: Ink) -> Report:
    definition = named(given.definition, desk.shipped)
    command.note_unknown_tools(definition)
    return of_change(await desk.create(definition), ink, did="created", dry_run=desk.dry_run)


def named(word: str, shipped: Mapping[str, Definition]) -> Definition:
    if word in shipped:
        return shipped[word]
    path = Path(word)
    if not path.suffix and not path.is_file():
        ships = ", ".join(sorted(shipped))
        raise BadInput(f"{word} is no file, and no assistant that ships; those are {ships}.")
    return read_definition(path)


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.parser("create_assistant", __doc__)
    options.add_argument("definition", metavar="FILE", help="a YAML file, or the name of one that ships, e.g. debate")
    return command.run(options, create, arguments, makes=True)


if __name__ == "__main__":
    sys.exit(main())
