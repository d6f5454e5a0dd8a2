"""What is done to answer a request, step by step. Pure: nothing is sent and no time passes here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from tests.fakes.openai_server.encoding import JSON, SSE, encode_json, sse
from tests.fakes.openai_server.events import Telling
from tests.fakes.openai_server.faults import Denial, Fault, denial_of
from tests.fakes.openai_server.script import Answer
from tests.fakes.openai_server.steps import Body, Event, Head, Reset, Send, Stall, Step, Wait

_INCOMPLETE = {Fault.INCOMPLETE_LENGTH: "max_output_tokens", Fault.INCOMPLETE_FILTER: "content_filter"}


def plan(telling: Telling, answer: Answer, tokens: tuple[str, ...], *, stream: bool) -> Iterator[Step]:
    """All of one answer, to the end of the body."""
    denial = denial_of(answer.fault, answer.retry_after)
    if denial is not None:
        return iter([denied(denial)])
    if answer.fault is Fault.STALL_BEFORE_HEADERS:
        return iter([Stall()])
    if answer.fault is Fault.RESET_BEFORE_HEADERS:
        return iter([Reset()])
    if answer.fault is Fault.EMPTY:
        tokens = ()
    return _streamed(telling, answer, tokens) if stream else _whole(telling, answer, tokens)


def denied(denial: Denial) -> Body:
    return Body(denial.status, denial.body(), denial.headers)


def _streamed(telling: Telling, answer: Answer, tokens: tuple[str, ...]) -> Iterator[Step]:
    yield Head(200, SSE)
    yield from map(Event, telling.opening())
    yield from _pause(answer.first_delay)
    yield from map(Event, telling.begin())
    before = (Event(telling.delta(token)) for token in tokens[: answer.at])
    after = (Event(telling.delta(token)) for token in tokens[answer.at :])
    match answer.fault:
        case Fault.STALL | Fault.RESET | Fault.EOF | Fault.ERROR_EVENT | Fault.FAILED:
            yield from _paced(chain(before, _broken(telling, answer.fault)), answer.interval)
        case Fault.INCOMPLETE_LENGTH | Fault.INCOMPLETE_FILTER:
            yield from _paced(before, answer.interval)
            yield from map(Event, telling.finish("incomplete", _INCOMPLETE[answer.fault]))
        case _:
            deltas = chain(before, _bent(telling, answer.fault, after))
            yield from _paced(deltas, answer.interval)
            yield from map(Event, telling.finish("completed"))


def _broken(telling: Telling, fault: Fault) -> Iterator[Step]:
    """The last there is of an answer that does not end well; of some nothing."""
    match fault:
        case Fault.STALL:
            yield Stall()
        case Fault.RESET:
            yield Reset()
        case Fault.ERROR_EVENT:
            yield Event(telling.error())
        case Fault.FAILED:
            yield Event(telling.failed())


def _bent(telling: Telling, fault: Fault | None, deltas: Iterator[Event]) -> Iterator[Step]:
    """The deltas of an answer that ends well, with what the fault does to them."""
    match fault:
        case Fault.MALFORMED_JSON:
            yield _torn(next(deltas, None) or Event(telling.delta("")))
            yield from deltas
        case Fault.UNKNOWN_EVENTS:
            for delta in deltas:
                yield delta
                yield Send(sse(telling.event("response.surprise", surprise={"new": True})))
        case _:
            yield from deltas


def _torn(delta: Event) -> Send:
    return Send(b"event: response.output_text.delta\ndata: %b\n\n" % encode_json(delta.event)[:-8])


def _whole(telling: Telling, answer: Answer, tokens: tuple[str, ...]) -> Iterator[Step]:
    yield from _pause(answer.first_delay + answer.interval * max(0, len(tokens) - 1))
    telling.say(tokens[: answer.at] if answer.fault in _INCOMPLETE else tokens)
    match answer.fault:
        case Fault.STALL | Fault.RESET | Fault.EOF | Fault.MALFORMED_JSON:
            data = encode_json(telling.finished("completed"))
            yield Head(200, JSON)
            yield Send(data[: len(data) // 2])
            yield from _broken(telling, answer.fault)
        case Fault.ERROR_EVENT:
            yield from plan(telling, Answer(fault=Fault.SERVER_ERROR), (), stream=False)
        case Fault.FAILED:
            yield Body(200, telling.broken())
        case Fault.INCOMPLETE_LENGTH | Fault.INCOMPLETE_FILTER:
            yield Body(200, telling.finished("incomplete", _INCOMPLETE[answer.fault]))
        case _:
            yield Body(200, telling.finished("completed"))


def _paced(steps: Iterable[Step], interval: float) -> Iterator[Step]:
    for number, step in enumerate(steps):
        if number:
            yield from _pause(interval)
        yield step


def _pause(seconds: float) -> Iterator[Step]:
    if seconds > 0:
        yield Wait(seconds)
