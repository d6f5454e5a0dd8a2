"""Whose texts are answered."""

from __future__ import annotations

import re
from collections.abc import Sequence

import phonenumbers
from phonenumbers import REGION_CODE_FOR_NON_GEO_ENTITY, NumberParseException, PhoneNumber, PhoneNumberType

E164 = re.compile(r"\+[1-9]\d{6,14}")
# To answer them may cost whatever their owner likes. Of a number that fits no pattern nobody knows what it costs.
COSTLY = {PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST, PhoneNumberType.UNKNOWN}
# WhatsApp still names some people by what their mobile numbers were before Mexico and Brazil changed them.
RENUMBERED = (
    (re.compile(r"\+521(\d{10})"), r"+52\1"),
    (re.compile(r"\+55(\d\d)([6-9]\d{7})"), r"+55\g<1>9\2"),
)


class AllowList:
    """Entries are a number (+15005550006), the begin of numbers (+1500*), or a country (US). None: everybody.

    Premium-rate numbers, those of no country (satellites), and whatever is no telephone number in use anywhere (short
    codes, names), are never answered.
    """

    def __init__(self, entries: Sequence[str] = ()) -> None:
        self._entries = entries

    def admits(self, number: str) -> bool:
        parsed = parse(number)
        if parsed is None or is_costly(parsed):
            return False
        return not self._entries or any(matches(entry, number, parsed) for entry in self._entries)


def parse(number: str) -> PhoneNumber | None:
    """None for what is not in E.164, or begins with no country's code."""
    if not E164.fullmatch(number):
        return None
    try:
        return phonenumbers.parse(renumbered(number))
    except NumberParseException:
        return None


def renumbered(number: str) -> str:
    return next((old.sub(new, number) for old, new in RENUMBERED if old.fullmatch(number)), number)


def is_costly(parsed: PhoneNumber) -> bool:
    region = phonenumbers.region_code_for_number(parsed)
    return region == REGION_CODE_FOR_NON_GEO_ENTITY or phonenumbers.number_type(parsed) in COSTLY


def matches(entry: str, number: str, parsed: PhoneNumber) -> bool:
    if entry.endswith("*"):
        return number.startswith(entry[:-1])
    return entry in {number, phonenumbers.region_code_for_number(parsed)}
