"""Where the sentences of a text end."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Behind it there may be a closing mark; then comes a space, or the end. East Asian marks need none.
SENTENCE_END = re.compile(
    r"[.!?\u2026\u061f\u0964][\"')\]\u00bb\u201d\u2019]*(?=\s|$)|[\u3002\uff01\uff1f][\u300d\u300f\u201d\uff09]*|\n"
)
# A number of a list, an initial, a title: the point behind it ends nothing.
SHORT_FORM = re.compile(r"(?:^|[\s(])(?:\d{1,2}|\w|[Dd]rs?|Mrs?|Ms|St|No|[Nn]r|e\.g|i\.e|z\.B|approx|ca)\.$")
# A line that promises another one.
OPEN_LINE = re.compile(r"[:,;-]\s*\n$")


def sentence_ends(text: str) -> Iterator[int]:
    begin = len(text) - len(text.lstrip())
    for found in SENTENCE_END.finditer(text, begin):
        is_open = OPEN_LINE if found[0] == "\n" else SHORT_FORM
        if not is_open.search(text, max(0, found.end() - 20), found.end()):
            yield found.end()
