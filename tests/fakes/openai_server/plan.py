"""What is done to answer a request, step by step. Pure: nothing is sent and no time passes here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

from tests.fakes.openai_server.encoding import JSON, SSE, encode_json, sse
from tests.fakes.openai_server.events import ERRORS, INCOMPLETE, Telling
from tests.fakes.openai_server.faults import Denial, Fault, denial_of
from tests.fakes.openai_server.objects import Json
from tests.fakes.openai_server.outputs import pieces
from tests.fakes.openai_server.script import Answer
from tests.fakes.openai_server.steps import Body, Event, Head, Headers, Reset, Send, Stall, Step, Wait

SURPRISE = "surprise"
LOST = frozenset({Fault.LOST_BY_STALL, Fault.LOST_BY_RESET})


def plan(telling: Telling, answer: Answer, *, stream: bool) -> Iterator[Step]:
    """All of one answer that the client waits for, to the end of the body."""
    instead = in_place_of_answer(answer.fault, answer.retry_after)
    if instead is not None:
        return iter([instead])
    return _streamed(telling, answer) if stream else _waited_for(telling, answer)


def in_place_of_answer(fault: Fault | None, retry_after: float) -> Step | None:
    """What the client gets if the fault lets no answer begin, else None."""
    match fault:
        case Fault.STALL_BEFORE_HEADERS | Fault.LOST_BY_STALL:
            return Stall()
        case Fault.RESET_BEFORE_HEADERS | Fault.LOST_BY_RESET:
            return Reset()
    denial = denial_of(fault, retry_after)
    return denied(denial) if denial else None


def creates(fault: Fault | None, *, stream: bool) -> bool:
    """Whether there is a Response, or a run, after all."""
    if fault is Fault.ERROR_EVENT:
        return stream
    return fault in LOST or in_place_of_answer(fault, 0) is None


def at_creation(fault: Fault | None) -> Fault | None:
    """What goes wrong with the request that creates a run; the rest comes later."""
    match fault:
        case Fault.ERROR_EVENT:
            return Fault.SERVER_ERROR
        case Fault.UNKNOWN_STATUS:
            return None
    return fault


def denied(denial: Denial) -> Body:
    return Body(denial.status, denial.body(), denial.headers)


def shown(body: Json, fault: Fault | None, retry_after: float, headers: Headers) -> Iterator[Step]:
    """One JSON object, as it is at this moment, with what the fault does to a single answer."""
    instead = in_place_of_answer(fault, retry_after)
    match fault:
        case _ if instead:
            yield instead
        case Fault.STALL | Fault.RESET | Fault.EOF | Fault.MALFORMED_JSON:
            yield from _half(body, fault)
        case Fault.UNKNOWN_STATUS:
            yield Head(200, {**JSON, **headers})
            yield Send(encode_json({**body, "status": SURPRISE}))
        case _:
            yield Body(200, body, headers)


def _streamed(telling: Telling, answer: Answer) -> Iterator[Step]:
    yield Head(200, SSE)
    yield from map(Event, telling.opening())
    yield from _pause(answer.first_delay)
    match answer.fault:
        case Fault.STALL | Fault.RESET | Fault.EOF | Fault.ERROR_EVENT:
            yield from _items(telling, answer, last=None)
            yield from _pause(answer.interval)
            yield from _broken(telling, answer.fault)
        case fault if fault in ERRORS:
            yield from _items(telling, answer, last=None)
            yield Event(telling.closing(fault))
        case fault:
            yield from _items(telling, answer, last="incomplete" if fault in INCOMPLETE else "completed")
            yield Event(telling.closing(fault))


def _items(telling: Telling, answer: Answer, last: str | None) -> Iterator[Step]:
    """Each item from its begin to its end; `last`: the status in which the last one ends, None if it does not."""
    numbers = count()
    for index, item in enumerate(telling.items):
        yield from (Event(telling.placed(index, event)) for event in item.begin())
        for piece in item.pieces:
            number = next(numbers)
            yield from _pause(answer.interval if number else 0)
            yield from _bent(telling, answer, Event(telling.placed(index, item.delta(piece))), number)
        status = last if item is telling.items[-1] else "completed"
        if status is not None:
            yield from (Event(telling.placed(index, event)) for event in item.finish(status))


def _bent(telling: Telling, answer: Answer, delta: Event, number: int) -> Iterator[Step]:
    """One delta, with what the fault does to it."""
    match answer.fault:
        case Fault.MALFORMED_JSON if number == min(answer.at, pieces(telling.items) - 1):
            yield _torn(delta)
        case Fault.UNKNOWN_EVENTS:
            yield delta
            yield Send(sse(telling.event({"type": "response.surprise", "surprise": {"new": True}})))
        case _:
            yield delta


def _torn(delta: Event) -> Send:
    return Send(b"event: %b\ndata: %b\n\n" % (delta.event["type"].encode(), encode_json(delta.event)[:-8]))


def _broken(telling: Telling, fault: Fault) -> Iterator[Step]:
    """The last there is of a stream that breaks off."""
    match fault:
        case Fault.STALL:
            yield Stall()
        case Fault.RESET:
            yield Reset()
        case Fault.ERROR_EVENT:
            yield Event(telling.error())


def _waited_for(telling: Telling, answer: Answer) -> Iterator[Step]:
    yield from _pause(answer.first_delay + answer.interval * max(0, pieces(telling.items) - 1))
    fault = Fault.SERVER_ERROR if answer.fault is Fault.ERROR_EVENT else answer.fault
    yield from shown(telling.ended(fault), fault, answer.retry_after, {})


def _half(body: Json, fault: Fault) -> Iterator[Step]:
    data = encode_json(body)
    yield Head(200, JSON)
    yield Send(data[: len(data) // 2])
    match fault:
        case Fault.STALL:
            yield Stall()
        case Fault.RESET:
            yield Reset()


def after(seconds: float, steps: Iterable[Step]) -> Iterator[Step]:
    yield from _pause(seconds)
    yield from steps


def _pause(seconds: float) -> Iterator[Step]:
    if seconds > 0:
        yield Wait(seconds)
