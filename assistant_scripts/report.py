"""What a script says in the end: to people, or as JSON to programs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from assistant_scripts.desk import Change, Written
from server.assistant.definition import LABEL_DIGITS
from server.assistant.files import write

STYLES = {"bold": "\033[1m", "dim": "\033[2m", "red": "\033[31m", "green": "\033[32m", "cyan": "\033[36m"}
PLAIN = "\033[0m"
DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


@dataclass(frozen=True, slots=True)
class Report:
    """`text` for people, with styles that `Ink` knows; `data` for JSON."""

    text: str
    data: Any


@dataclass(frozen=True, slots=True)
class Ink:
    """Styles on a terminal, and none elsewhere."""

    colour: bool

    def __call__(self, style: str, text: str) -> str:
        return f"{STYLES[style]}{text}{PLAIN}" if self.colour and text else text


def short(version: str) -> str:
    return version[:LABEL_DIGITS]


def when(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def of_change(change: Change, ink: Ink, *, did: str, dry_run: bool) -> Report:
    """`did`: what was done, e.g. created."""
    before, after = change.before, change.after
    same = before is not None and before.version == after.version
    place = f"{change.name}@{change.stage}"
    lines = [ink("dim", "A dry run: nothing is changed.")] if dry_run else []
    if same:
        lines.append(f"{ink('bold', place)} is at {short(after.version)} already.")
    else:
        path = f"{short(before.version)} -> {short(after.version)}" if before else short(after.version)
        lines.append(f"{ink('bold', place)} {did}: {path}")
    if change.provider_id:
        lines.append(f"provider's object: {change.provider_id}")
    lines.append(f"ASSISTANT_ID={place}")
    difference = diff(before, after) if before else ""
    if dry_run and difference:
        lines += ["", coloured(difference, ink)]
    return Report("\n".join(lines), change_data(change, difference, changed=not same, dry_run=dry_run))


def change_data(change: Change, difference: str, *, changed: bool, dry_run: bool) -> Mapping[str, Any]:
    return {
        "assistantId": f"{change.name}@{change.stage}",
        "name": change.name,
        "stage": change.stage,
        "version": change.after.version,
        "before": change.before.version if change.before else None,
        "providerId": change.provider_id,
        "changed": changed,
        "dryRun": dry_run,
        "diff": difference,
    }


def diff(before: Written, after: Written) -> str:
    """Unified, of the two as files."""
    old, new = (write(one.definition).splitlines() for one in (before, after))
    old_name, new_name = (f"{one.definition.name}@{short(one.version)}" for one in (before, after))
    return "\n".join(difflib.unified_diff(old, new, old_name, new_name, lineterm=""))


def coloured(difference: str, ink: Ink) -> str:
    lines = difference.splitlines()
    return "\n".join(ink(DIFF_STYLES[line[0]], line) if line[:1] in DIFF_STYLES else line for line in lines)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], ink: Ink) -> str:
    """Columns side by side, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (heads, *rows)]
    return "\n".join([ink("bold", lines[0]), *lines[1:]])
