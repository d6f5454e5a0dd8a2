"""What an assistant is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

RunMode: TypeAlias = Literal["stream", "background"]


# Among the tools of an assistant that is the provider's own: we do not know which it has there.
EVERY_TOOL = "*"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and the reply it got, as the model is shown them."""

    question: str
    reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What is different on one channel; None: nothing."""

    instructions: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    max_reply_tokens: int | None = None
    run_mode: RunMode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """An assistant as its file says it. None: as the server's settings say.

    `examples` are exchanges that the model is shown before the real ones; `tools` are names; `channels` holds what is
    different there. `max_reply_tokens`: what a person at a phone is sent of a reply, in whole sentences; unlike
    `max_output_tokens` it leaves a model as much as it needs to think. `run_mode`: stream the words to a person who
    watches, or let the provider work in the background. `keep_opening`: however long a conversation is, the model is
    shown how it began.
    """

    name: str
    instructions: str
    description: str = ""
    examples: tuple[Exchange, ...] = ()
    tools: tuple[str, ...] = ()
    model: str | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    max_reply_tokens: int | None = None
    run_mode: RunMode | None = None
    keep_opening: bool | None = None
    channels: Mapping[str, Overrides] = field(default_factory=dict)

    def may_use(self, tool: str) -> bool:
        return tool in self.tools or EVERY_TOOL in self.tools


@dataclass(frozen=True, slots=True)
class Assistant:
    """A version of a definition, as it is on one channel.

    `label` is name@version. `provider_id`: the provider's own object for it, where it has one.
    """

    label: str
    definition: Definition
    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A definition as it is kept: `id` is the hash of its `body`, its canonical JSON."""

    name: str
    id: str
    body: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Move:
    """name@stage was pointed to a version. The newest move that is not `undone` says where it points.

    `provider_id`: the provider's object for the stage.
    """

    name: str
    stage: str
    version: str
    provider_id: str | None
    moved_at: int
    undone: bool = False
