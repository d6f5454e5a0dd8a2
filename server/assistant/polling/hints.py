"""What a provider's headers ask for."""

from __future__ import annotations

import math
from collections.abc import Mapping

UNITS_PER_SECOND = {"openai-poll-after-ms": 1000, "retry-after-ms": 1000, "retry-after": 1}


def poll_after(headers: Mapping[str, str]) -> float | None:
    """The longest wait that is asked for, in seconds; None if none is. `headers` are to be found in lower case.

    What is no finite number, such as the HTTP date form of `retry-after`, is read as no hint.
    """
    return max((hint for name in UNITS_PER_SECOND if (hint := seconds(headers, name)) is not None), default=None)


def seconds(headers: Mapping[str, str], name: str) -> float | None:
    try:
        found = float(headers[name]) / UNITS_PER_SECOND[name]
    except (KeyError, ValueError):
        return None
    return max(0.0, found) if math.isfinite(found) else None
