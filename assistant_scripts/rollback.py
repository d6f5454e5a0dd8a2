"""Point an assistant of a stage back to the version it had before; again, to the one before that."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from assistant_scripts import command
from assistant_scripts.desk import Desk
from assistant_scripts.report import Ink, Report, of_change


async def roll_back(desk: Desk, given: argparse.Namespace, ink: Ink) -> Report:
    return of_change(await desk.roll_back(given.name), ink, did="rolled back", dry_run=desk.dry_run)


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.parser("rollback", __doc__)
    options.add_argument("name", metavar="NAME", help="of the assistant")
    return command.run(options, roll_back, arguments)


if __name__ == "__main__":
    sys.exit(main())
