"""What is kept beside conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from server.model import (
    Accepted,
    Conversation,
    DeadLetter,
    Move,
    Note,
    SignOut,
    Version,
)


class SignOuts(Protocol):
    """People whose tokens are refused, whatever these say, until they get new ones."""

    async def sign_out(self, person: str) -> None:
        """Refuse every token of the person that was issued until now."""
        ...

    async def signed_out_since(self, moment: int) -> Sequence[SignOut]:
        """Those after `moment`, each person once."""
        ...


class DeadLetters(Protocol):
    """Questions that ended in an error, for an operator to look at and ask again."""

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        """The newest first."""
        ...

    async def dead_letter(self, conversation_id: str, offset: int) -> DeadLetter:
        """The one of this question. Raises `NotFound`."""
        ...

    async def requeue(self, letter: DeadLetter) -> Accepted:
        """Ask the question anew, at the end of its conversation, and take the letter away; in one durable step."""
        ...


class Directory(Protocol):
    """What an administrator finds, whosever it is."""

    async def look_up(self, conversation_id: str) -> Conversation:
        """Raises `NotFound`."""
        ...

    async def callers(self, channel: str, after: str, limit: int) -> Sequence[str]:
        """Who has a conversation on this channel of phones: sorted, the first ones behind `after`. No scan."""
        ...


class Notes(Protocol):
    """What the model wants to know about a person the next time. The newest 200 are kept."""

    async def add(self, person: str, key: str, text: str) -> None:
        """Durable when it returns. A key that the person has a note of changes nothing.

        `BadInput` for a text that is empty, holds a NUL character, or has more than 2,000 characters.
        """
        ...

    async def of(self, person: str, limit: int) -> Sequence[Note]:
        """The newest first."""
        ...

    async def forget_notes(self, person: str) -> None:
        """All notes of the person, and their keys. One that has none is no error."""
        ...


class Versions(Protocol):
    """Definitions of assistants as they were written, for good."""

    async def keep_version(self, name: str, version: str, body: str) -> Version:
        """Durable when it returns. One that is kept already stays as it is, and is given back."""
        ...

    async def version(self, name: str, prefix: str) -> Version:
        """The one whose id begins so. `NotFound` if there is none, `Conflict` if there are several."""
        ...

    async def versions(self, name: str | None = None) -> Sequence[Version]:
        """The newest first; without a name those of every assistant."""
        ...

    async def forget_assistant(self, name: str) -> None:
        """Let go of all its versions, and of its aliases in every stage, in one durable step."""
        ...


class Aliases(Protocol):
    """Which version of an assistant is used in which stage, and was before."""

    async def point_alias(self, name: str, stage: str, version: str, provider_id: str | None = None) -> Move:
        """Point it there. Durable when it returns. `NotFound` if no such version is kept.

        Where it points there already this is no move: only the `provider_id` is put in place of the earlier one.
        """
        ...

    async def roll_back(self, name: str, stage: str) -> Move:
        """Undo its newest move; the one before it, which holds again. `NotFound` without an alias, `Conflict` if
        nothing is before.
        """
        ...

    async def alias(self, name: str, stage: str) -> Move:
        """The move that holds. `NotFound` if there is no such alias."""
        ...

    async def moves(self, name: str | None = None) -> Sequence[Move]:
        """Of every stage, undone ones too, the newest first; without a name those of every assistant."""
        ...

    async def drop_alias(self, name: str, stage: str) -> None:
        """Let go of the alias and its moves; the versions stay. One that is not there is no error."""
        ...
