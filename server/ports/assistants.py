"""Who answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from server.model import (
    Assistant,
    Caller,
    Prompt,
    RunEvent,
    ToolCall,
    ToolResult,
    Window,
)


class Catalog(Protocol):
    """Which definition answers."""

    async def find(self, reference: str, channel: str) -> Assistant:
        """The version that a name, name@stage or name@version means now. Cheap enough for every turn.

        The configured assistant, where there is none of this name any more.
        """
        ...

    async def check(self, reference: str) -> None:
        """Raises `NotFound` if a conversation cannot be begun with it."""
        ...


class Toolbox(Protocol):
    """What the model may have done."""

    async def call(self, call: ToolCall, caller: Caller) -> ToolResult:
        """Whatever goes wrong is a failed result, for the model to read. Ends within the tool's own time."""
        ...


class Painter(Protocol):
    """Who makes pictures."""

    async def picture(self, description: str, caller: Caller) -> str:
        """The key of a file with it; of the same description again the same, at no cost.

        Raises `Refused`, `TooMany`, `ProviderFailed`, `Unavailable` where none was made and one may be later, and
        `InDoubt` where one may have been made, and paid for, that never came: all with messages for the person.
        """
        ...


class Engine(Protocol):
    """The model behind the assistant."""

    def window(self, assistant: Assistant) -> Window:
        """How much a prompt may hold."""
        ...

    def respond(self, prompt: Prompt) -> AsyncGenerator[RunEvent]:
        """One run: words as they come, then exactly one `ToolsWanted` or `Finished`.

        A thread or a run that outlives us is told of as soon as it is there; nothing is done with it before the event
        has been taken. One that is made while the caller is cancelled, which cannot be told of it any more, is
        ended. With a handle it goes on with that run, and begins another only if that one cannot give a reply. Raises
        `Unavailable` when another run may succeed (with `retry_after` if the provider said so) and `ProviderFailed`
        when it will not, also after words were given. Closing the iterator leaves a run that outlives us to itself, and
        ends any other.
        """
        ...

    async def cancel(self, handle: str) -> None:
        """End the run at the provider; one that is over, or unknown there, is no error."""
        ...

    async def forget(self, thread: str) -> None:
        """Let go of what the provider keeps for a conversation; a thread that is unknown there is no error."""
        ...
