"""What a run may take."""

from __future__ import annotations

from dataclasses import dataclass

from server.assistant.definition import size_of
from server.assistant.tools.toolbox import Tools
from server.model import Assistant, Definition, Window


@dataclass(frozen=True, slots=True)
class Limits:
    """The operator's: a definition may name another model, and may ask for shorter replies."""

    model: str
    context_tokens: int
    max_output_tokens: int

    def model_of(self, definition: Definition) -> str:
        return definition.model or self.model

    def longest(self, definition: Definition) -> int:
        """Tokens of a reply."""
        return min(definition.max_output_tokens or self.max_output_tokens, self.max_output_tokens)

    def window(self, assistant: Assistant, tools: Tools) -> Window:
        definition = assistant.definition
        preamble = size_of(definition) + tools.size(definition.tools)
        return Window(self.context_tokens - self.longest(definition), preamble)
