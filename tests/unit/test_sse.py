"""Server-sent events out of bytes, however they are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.assistant import sse
from server.assistant.sse import EventDecoder, ServerSentEvent
from server.errors import ProviderFailed

STREAM = (
    b": a comment\n\n"
    b'event: one\ndata: {"text":"Gr\xc3\xbc\xc3\x9fe"}\n\n'
    b"data:two\ndata: lines\nid: 7\n\n"
    b"event: empty\n\n"
    b"event: three\nretry: 10\ndata: \n\n"
    b"event: cut\ndata: not complete"
)
EVENTS = [
    ServerSentEvent(b"one", '{"text":"Grüße"}'.encode()),
    ServerSentEvent(b"", b"two\nlines"),
    ServerSentEvent(b"three", b""),
]


def fed(chunks: list[bytes]) -> list[ServerSentEvent]:
    decoder = EventDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@given(cuts=st.lists(st.integers(0, len(STREAM) * 2)))
def test_the_cuts_between_reads_and_the_line_ends_make_no_difference(end: bytes, cuts: list[int]) -> None:
    stream = STREAM.replace(b"\n", end)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert fed([stream[a:b] for a, b in pairwise(edges)]) == EVENTS


def test_an_event_without_end_is_not_kept_for_ever() -> None:
    with pytest.raises(ProviderFailed):
        fed([b"x" * (sse.MOST_BYTES // 4)] * 5)
