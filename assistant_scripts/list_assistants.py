"""List the assistants: of every stage, or of one; those that ship come last."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from assistant_scripts import command
from assistant_scripts.desk import SHIPPED, Desk, holding, written
from assistant_scripts.report import Ink, Report, short, table, when
from server.assistant.definition import definition_of

HEADS = ("ASSISTANT_ID", "VERSION", "SINCE", "DESCRIPTION")


async def list_assistants(desk: Desk, given: argparse.Namespace, ink: Ink) -> Report:
    found = [*await of_store(desk, given.stage), *that_ship(desk)]
    rows = [
        (one["assistantId"], short(one["version"]), when(one["since"]) if one["since"] else SHIPPED, one["description"])
        for one in found
    ]
    return Report(table(HEADS, rows, ink), found)


async def of_store(desk: Desk, stage: str | None) -> Sequence[Mapping[str, Any]]:
    bodies = {(one.name, one.id): one.body for one in await desk.shelf.versions()}
    return [
        {
            "assistantId": f"{move.name}@{move.stage}",
            "name": move.name,
            "stage": move.stage,
            "version": move.version,
            "since": move.moved_at,
            "providerId": move.provider_id,
            "description": definition_of(bodies[move.name, move.version]).description,
        }
        for move in holding(await desk.shelf.moves())
        if stage in {None, move.stage}
    ]


def that_ship(desk: Desk) -> Sequence[Mapping[str, Any]]:
    return [
        {
            "assistantId": name,
            "name": name,
            "stage": None,
            "version": written(one).version,
            "since": None,
            "providerId": None,
            "description": one.description,
        }
        for name, one in desk.shipped.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(command.parser("list_assistants", __doc__), list_assistants, arguments)


if __name__ == "__main__":
    sys.exit(main())
