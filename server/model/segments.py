"""What a text costs as SMS: in how many segments the networks carry it.

GSM 7-bit takes 160 characters alone, 153 in each of several segments, and some of them count twice. One character
outside of it makes the whole message UCS-2: 70 and 67 units of 16 bits, and nothing that is read as one character is
torn apart, unless it alone is longer than a segment.
"""

from __future__ import annotations

from collections.abc import Iterator

from wcwidth import iter_graphemes

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
TWICE = frozenset("\f^{}\\[~]|€")
GSM = BASIC | TWICE
# Alone, and in each of several.
SEPTETS, UNITS = (160, 153), (70, 67)

# What models like to write, in characters that halve the price.
PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"'),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u0060\u00b4", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2022\u00b7\u25e6\u25aa", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\t", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", ""),
        **dict.fromkeys("\u2028\u2029", "\n"),
        "\u2026": "...",
        "\u2039": "<",
        "\u203a": ">",
        "\u00d7": "x",
        "\u2192": "->",
    }
)


def plain(text: str) -> str:
    """The same in characters of GSM 7-bit, if that is all that keeps it from them; else as it is."""
    simple = text.translate(PLAIN)
    return simple if GSM.issuperset(simple) else text


def segments_of(text: str) -> int:
    if not GSM.issuperset(text):
        return packed(map(units_of, characters(text)), *UNITS)
    if TWICE.isdisjoint(text):
        return 1 if len(text) <= SEPTETS[0] else -(-len(text) // SEPTETS[1])
    return packed((2 if one in TWICE else 1 for one in text), *SEPTETS)


def characters(text: str) -> Iterator[str]:
    """As people see them."""
    for one in iter_graphemes(text):
        yield from (one if one == "\r\n" else (one,))


def units_of(text: str) -> int:
    """Of 16 bits."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def packed(sizes: Iterator[int], alone: int, each: int) -> int:
    """How many segments things of these sizes fill. What has no room in the rest of a segment begins another."""
    total, segments, used = 0, 1, 0
    for size in sizes:
        total += size
        if used and used + size > each:
            segments, used = segments + 1, 0
        used += size
        segments, used = segments + (used - 1) // each, (used - 1) % each + 1
    return 1 if total <= alone else segments
