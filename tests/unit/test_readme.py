"""The README is held to what is so."""

from __future__ import annotations

import tomllib
from pathlib import Path

from server.entrypoints.described.release import RELEASE
from server.settings import Settings, shown

ROOT = Path(__file__).resolve().parents[2]


def settings_table() -> str:
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = shown(field.default)
        rows.append(f"| `{name.upper()}` | {f'`{default}`' if default else ''} | {field.description} |")
    return "\n".join(rows)


def test_the_readme_lists_every_setting_as_it_is() -> None:
    assert settings_table() in (ROOT / "README.md").read_text()


def test_descriptions_tell_the_release_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == RELEASE
