"""A script as JSON, as another process sends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from tests.fakes.openai_server.faults import Fault
from tests.fakes.openai_server.script import Answer, Call, Picture, Verdict


@dataclass(frozen=True, slots=True)
class ScriptBody:
    """{"answers": [...], "normal": {...}}; without `normal`, the normal answer stays as it was.

    `images` and `moderations`: the next of those; `troubles`: see `FakeOpenAI.trouble`; `assistants_gone`: None: as is.
    """

    answers: tuple[Answer, ...] = ()
    normal: Answer | None = None
    images: tuple[Picture, ...] = ()
    moderations: tuple[Verdict, ...] = ()
    troubles: Mapping[str, tuple[Fault | None, ...]] = field(default_factory=dict)
    assistants_gone: bool | None = None


def parse_script(data: bytes) -> ScriptBody:
    """Raises `msgspec.ValidationError` that names what is wrong, an unknown field too."""
    raw = msgspec.json.decode(data, type=dict[str, Any])
    script = msgspec.convert(raw, ScriptBody)
    _only_known(raw, ScriptBody)
    for answer in [*raw.get("answers", ()), raw.get("normal") or {}]:
        _only_known(answer, Answer)
        for call in answer.get("calls", ()):
            _only_known(call, Call)
    for name, kind in (("images", Picture), ("moderations", Verdict)):
        for answer in raw.get(name, ()):
            _only_known(answer, kind)
    return script


def _only_known(raw: Mapping[str, Any], kind: type[Answer | Call | Picture | Verdict | ScriptBody]) -> None:
    unknown = raw.keys() - {known.name for known in fields(kind)}
    if unknown:
        raise msgspec.ValidationError(f"unknown in {kind.__name__}: {', '.join(sorted(unknown))}")
