"""A long reply in several messages, at the ends of sentences and words; too long a one ends with a sentence."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, zip_longest
from typing import TypeAlias

from wcwidth import grapheme_boundary_before

from server.model.phones import Piece
from server.model.segments import plain, segments_of, units_of
from server.model.sentences import sentence_ends

# Providers refuse more, in units of 16 bits.
MOST_UNITS = 1_600
ELLIPSIS = "..."

Price: TypeAlias = Callable[[str], int]


def with_links(text: str, links: Sequence[str]) -> str:
    return "\n".join((text, *links)).lstrip()


def sms_parts(text: str, budget: int, links: Sequence[str] = ()) -> Sequence[Piece]:
    """Messages that cost at most `budget` segments in all. Links come behind the words, each by itself: beside words of
    another alphabet they would cost more. Words leave room for the first one, which comes in any case.
    """
    prices = [segments_of(link) for link in links]
    words = split(plain(text.replace("\r\n", "\n")), segments_of, budget - sum(prices[:1]))
    room = budget - sum(map(segments_of, words))
    alone = (Piece("", place) for place, cost in enumerate(accumulate(prices)) if cost <= room or place == 0)
    return [*map(Piece, words), *alone]


def chat_parts(text: str, budget: int, pictures: int = 0) -> Sequence[Piece]:
    """At most so many messages, a picture with each. Pictures that are left when the words are over have none."""
    words = split(text, lambda _: 1, budget)
    return [Piece(said or "", place) for said, place in zip_longest(words, range(min(pictures, budget)))]


def split(text: str, price: Price, budget: int) -> Sequence[str]:
    """If not all of it has room, it ends with the last sentence that has; only within the first one, it breaks off."""
    text = text.strip()
    ends = list(sentence_ends(text))
    spans = spans_of(text, ends, price, budget)
    parts = [text[begin:end] for begin, end in spans]
    if not spans or spans[-1][1] == len(text):
        return parts
    begin, end = spans[-1]
    whole = bisect_right(ends, end)
    if whole:
        return split(text[: ends[whole - 1]], price, budget)
    return [*parts[:-1], broken(text[begin:], price, budget - sum(map(price, parts[:-1])))]


def spans_of(text: str, ends: Sequence[int], price: Price, budget: int) -> Sequence[tuple[int, int]]:
    """Where the messages are in it that the budget is enough for."""
    spans: list[tuple[int, int]] = []
    begin = 0
    while begin < len(text) and budget > 0:
        end = begin + longest(text[begin:], price, budget)
        cut = end if end == len(text) else good_cut(text, ends, begin, end)
        part = text[begin:cut].rstrip()
        spans.append((begin, begin + len(part)))
        budget -= price(part)
        begin = len(text) - len(text[cut:].lstrip())
    return spans


def longest(text: str, price: Price, budget: int, most: int = MOST_UNITS) -> int:
    """How much of it is within the budget and one message; at least one character, so that there is an end."""

    def is_over(end: int) -> bool:
        part = text[:end]
        return units_of(part) > most or price(part) > budget

    return max(1, bisect_right(range(1, min(len(text), most) + 1), False, key=is_over))


def good_cut(text: str, ends: Sequence[int], begin: int, end: int) -> int:
    """Behind a sentence that ends in the second half, else between words."""
    last = bisect_right(ends, end) - 1
    if last >= 0 and ends[last] > (begin + end) // 2:
        return ends[last]
    return begin + word_cut(text[begin:], end - begin)


def word_cut(text: str, end: int) -> int:
    """Between words; within one where there is nothing else."""
    spaces = [place for place in range(end, end // 2, -1) if text[place : place + 1].isspace()]
    return spaces[0] if spaces else whole_cut(text, end)


def whole_cut(text: str, end: int) -> int:
    """Not within what is read as one character, unless that is all there is."""
    return grapheme_boundary_before(text, end + 1) or end


def broken(text: str, price: Price, budget: int) -> str:
    """How it begins, and a sign that it goes on."""
    end = longest(text, lambda part: price(part + ELLIPSIS), budget, MOST_UNITS - len(ELLIPSIS))
    return text[: word_cut(text, end)].rstrip() + ELLIPSIS
