"""Take an assistant out of a stage, or away altogether. Conversations stay, with all that was said in them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from assistant_scripts import command
from assistant_scripts.desk import Deletion, Desk
from assistant_scripts.report import Ink, Report, short


async def delete(desk: Desk, given: argparse.Namespace, ink: Ink) -> Report:
    gone = await desk.delete(given.name, everywhere=given.everywhere)
    lines = [ink("dim", "A dry run: nothing is changed.")] if desk.dry_run else []
    lines += [
        f"{ink('bold', f'{one.name}@{one.stage}')} deleted, it was at {short(one.version)}" for one in gone.aliases
    ]
    lines += [f"version {short(one.id)} deleted" for one in gone.versions]
    if not given.everywhere:
        lines.append("Its versions stay, and can be promoted again.")
    lines += afterwards(desk, gone.name, gone.name if given.everywhere else f"{gone.name}@{desk.stage}")
    return Report("\n".join(lines), data(gone, dry_run=desk.dry_run))


def afterwards(desk: Desk, name: str, deleted: str) -> Sequence[str]:
    """What becomes of those who talk to it."""
    kept = "Conversations keep what was said in them."
    if name in desk.shipped:
        return [f"{kept} Those with {deleted} go on with the {name} that ships."]
    return [
        f"{kept} Those with {deleted} go on with what ASSISTANT_ID names.",
        f"If that is {deleted}, a running server goes on with its last version, but will not start again.",
    ]


def data(gone: Deletion, *, dry_run: bool) -> object:
    return {
        "name": gone.name,
        "stages": [move.stage for move in gone.aliases],
        "versions": [version.id for version in gone.versions],
        "dryRun": dry_run,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.parser("delete", __doc__)
    options.add_argument("name", metavar="NAME", help="of the assistant")
    options.add_argument("--everywhere", action="store_true", help="in every stage, with all its versions")
    return command.run(options, delete, arguments)


if __name__ == "__main__":
    sys.exit(main())
