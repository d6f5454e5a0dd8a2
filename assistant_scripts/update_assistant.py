"""Make a file the new version of the assistant that it names. A running server uses it from the next turn on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from assistant_scripts import command
from assistant_scripts.desk import Desk
from assistant_scripts.report import Ink, Report, of_change
from server.assistant.files import read_definition


async def update(desk: Desk, given: argparse.Namespace, ink: Ink) -> Report:
    definition = read_definition(given.file)
    command.note_unknown_tools(definition)
    return of_change(await desk.update(definition), ink, did="updated", dry_run=desk.dry_run)


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.parser("update_assistant", __doc__)
    options.add_argument("file", metavar="FILE", type=Path, help="a YAML file")
    return command.run(options, update, arguments)


if __name__ == "__main__":
    sys.exit(main())
