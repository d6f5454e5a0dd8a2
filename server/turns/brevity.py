"""What a person at a phone is sent of a reply: whole sentences, and not too many of them."""

from __future__ import annotations

from dataclasses import replace

from server.model import Draft
from server.model.sentences import sentence_ends

# In most languages; where it is fewer, as in Chinese, so are the letters of a sentence.
BYTES_PER_TOKEN = 4
ELLIPSIS = "..."
LENGTH = "length"


def brief(draft: Draft, most_tokens: int | None) -> Draft:
    """One that ran out of length is cut back to its last whole sentence; one of more tokens to the last that fits."""
    if draft.code is not None:
        return draft
    text = whole(draft.text) if draft.finish_reason == LENGTH else draft.text
    counted = draft.usage.output_tokens if draft.usage else None
    if most_tokens is not None and (counted is None or counted > most_tokens):
        text = within(text, most_tokens * BYTES_PER_TOKEN)
    return replace(draft, text=text)


def whole(text: str) -> str:
    """Without the sentence that breaks off. Of one that is the only one, the words, and a sign that it breaks off."""
    ends = list(sentence_ends(text))
    return text[: ends[-1]].rstrip() if ends else broken(text)


def within(text: str, most_bytes: int) -> str:
    if len(text.encode()) <= most_bytes:
        return text
    room = text.encode()[:most_bytes].decode(errors="ignore")
    ends = [end for end in sentence_ends(text) if end <= len(room)]
    return text[: ends[-1]].rstrip() if ends else broken(room[: -len(ELLIPSIS)])


def broken(text: str) -> str:
    """At the end of its last whole word."""
    words, space, _ = text.rstrip().rpartition(" ")
    return (words.rstrip() if space else text.rstrip()) + ELLIPSIS
