"""A script from its arguments to its exit code: 0, or 2 where it is refused."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from assistant_scripts.desk import SHIPPED, Desk
from assistant_scripts.report import Ink, Report
from server.assistant.definition import is_prefix
from server.assistant.files import read_shipped
from server.entrypoints.logs import configure_logs
from server.errors import ServerError
from server.model import Definition
from server.settings import Settings, read_settings
from server.wiring.mirrors import open_mirror
from server.wiring.stores import Missing, open_office
from server.wiring.tools import unknown_tools

REFUSED = 2
INTERRUPTED = 130

Act: TypeAlias = Callable[[Desk, argparse.Namespace, Ink], Awaitable[Report]]


def parser(script: str, what: str | None) -> argparse.ArgumentParser:
    """With the options that every script has."""
    made = argparse.ArgumentParser(prog=f"python -m assistant_scripts.{script}", description=what)
    made.add_argument("--stage", type=stage, help="stage to work on (default: the setting STAGE)")
    made.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    made.add_argument("--json", action="store_true", help="for programs")
    return made


def stage(word: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", word):
        raise argparse.ArgumentTypeError(f"{word!r} is no stage; take letters, digits, - and _, at most 32")
    if is_prefix(word) or word == SHIPPED:
        raise argparse.ArgumentTypeError(f"{word!r} reads as a version; take another name")
    return word


def note_unknown_tools(definition: Definition) -> None:
    """They may be there one day, or in another server of yours; so it is no reason to refuse."""
    if unknown := unknown_tools(definition.tools):
        print(f"Note: the server has no tool {', '.join(unknown)}, and does without.", file=sys.stderr)


def run(options: argparse.ArgumentParser, act: Act, arguments: Sequence[str] | None, *, makes: bool = False) -> int:
    """`makes`: it may be the first thing that is ever done here."""
    given = options.parse_args(arguments)
    os.umask(0o077)
    ink = Ink(sys.stdout.isatty() and not given.json)
    try:
        settings = read_settings()
        configure_logs("error", settings.log_format)
        report = asyncio.run(carry_out(settings, act, given, ink, makes=makes))
    except ServerError as error:
        print(error.message, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    print(json.dumps(report.data, indent=2, ensure_ascii=False) if given.json else report.text)
    return 0


async def carry_out(settings: Settings, act: Act, given: argparse.Namespace, ink: Ink, *, makes: bool) -> Report:
    missing: Missing = "make" if makes and not given.dry_run else "pretend"
    async with open_office(settings, missing) as office, open_mirror(settings) as mirror:
        desk = Desk(office, mirror, read_shipped(), stage=given.stage or settings.stage, dry_run=given.dry_run)
        return await act(desk, given, ink)
