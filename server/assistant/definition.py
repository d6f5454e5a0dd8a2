"""What an assistant is: its instructions and the limits of its replies."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

from server.model import Exchange


@dataclass(frozen=True)
class Definition:
    """`examples` are exchanges that the model is shown before the real ones."""

    name: str
    instructions: str
    examples: tuple[Exchange, ...] = ()
    temperature: float | None = None

    @cached_property
    def version(self) -> str:
        """The beginning of the SHA-256 of its canonical JSON: the same words, the same version."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @cached_property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    @cached_property
    def size(self) -> int:
        """Bytes that it adds to every prompt."""
        examples = (example.question + example.reply for example in self.examples)
        return len((self.instructions + "".join(examples)).encode())


ASSISTANT = Definition(
    name="assistant",
    instructions=(
        "You are a helpful assistant in a chat. Answer in the language of the question, plainly and briefly;"
        " say so when you do not know."
    ),
)
