"""Point an assistant of a stage to a version, e.g. prod to what dev uses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from assistant_scripts import command
from assistant_scripts.desk import Desk
from assistant_scripts.report import Ink, Report, of_change


async def promote(desk: Desk, given: argparse.Namespace, ink: Ink) -> Report:
    change = await desk.promote(given.name, given.version)
    return of_change(change, ink, did="promoted", dry_run=desk.dry_run)


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.parser("promote", __doc__)
    options.add_argument("name", metavar="NAME", help="of the assistant")
    options.add_argument(
        "version", metavar="VERSION", help="at least 8 digits of one, or the stage that has it, or shipped"
    )
    return command.run(options, promote, arguments)


if __name__ == "__main__":
    sys.exit(main())
