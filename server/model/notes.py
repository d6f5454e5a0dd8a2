"""What the model wants to know about a person the next time."""

from __future__ import annotations

from dataclasses import dataclass

from server.errors import BadInput

MOST_NOTES = 200
MOST_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Note:
    text: str
    created_at: int


def check_note(text: str) -> None:
    """Raises `BadInput` for what no store keeps."""
    if not text.strip():
        raise BadInput("The note is empty.")
    if "\0" in text:
        raise BadInput("The note holds a NUL character; leave it out.")
    if len(text) > MOST_CHARACTERS:
        raise BadInput(f"The note has {len(text)} characters, at most {MOST_CHARACTERS} are kept; shorten it.")
