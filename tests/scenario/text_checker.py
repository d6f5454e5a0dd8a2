"""Holds what a provider of texts saw against the store's log: each text is kept once, answered once, in order, and each
message of a reply is sent once, in order, to somebody who wants it.

Offline and pure, as the other checker is. What it knows of a server is what a provider and a reader of its log know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from server.model import Part, Question, Reply, number_of
from tests.scenario.harms import Harm, Kind
from tests.scenario.history import Kept
from tests.scenario.postbag import START, STOP, Bag, Silence, Taken, Written, silences_of

# What was on its way out when somebody said STOP.
FLIGHT_SECONDS = 5.0


def check_texts(bag: Bag) -> list[Harm]:
    harms: list[Harm] = []
    written = bag.written()
    for number, texts in written.items():
        logs = [log for log in bag.logs if number_of(log.person) == number]
        silences = silences_of(texts)
        harms += kept_harms(number, texts, logs, silences)
        harms += [harm for log in logs for harm in order_harms(texts, log, silences)]
        harms += silence_harms(number, silences, bag.taken)
        harms += sent_harms(number, logs, bag, silences)
    for log in bag.logs:
        harms += reply_harms(log)
        if number_of(log.person) not in written:
            harms.append(Harm(Kind.UNASKED, log.conversation_id, "a log of nobody who wrote"))
    harms += stray_harms(bag)
    return harms


# --- the log ------------------------------------------------------------------------------------------------------


def kept_harms(
    number: str, texts: Sequence[Written], logs: Sequence[Kept], silences: Sequence[Silence]
) -> Iterator[Harm]:
    known = {text.log_id: text for text in texts}
    times: Counter[str] = Counter()
    for question in (one for log in logs for one in questions(log)):
        text = known.get(log_id(question))
        times[log_id(question)] += 1
        if text is None:
            yield Harm(Kind.UNASKED, number, f"nobody wrote {question}")
        elif text.body != question.text:
            yield Harm(Kind.CORRUPTED, number, f"{text.body!r} is kept as {question}")
        elif is_unheard(text, silences):
            yield Harm(Kind.UNASKED, number, f"{text.body!r} was kept after a STOP")
    yield from (
        Harm(Kind.DOUBLED, number, f"{one} is in the log {count} times") for one, count in times.items() if count > 1
    )
    for text in texts:
        if text.acknowledged < float("inf") and not times[text.log_id] and not is_maybe_unheard(text, silences):
            yield Harm(Kind.LOST, number, f"{text.body!r} was acknowledged and is not in the log")


def order_harms(texts: Sequence[Written], log: Kept, silences: Sequence[Silence]) -> Iterator[Harm]:
    """What was acknowledged before another was posted at all is before it in the log. One that came in a silence may
    have been let go at first, and have got in when it came again.
    """
    known = {text.log_id: text for text in texts if not is_maybe_unheard(text, silences)}
    earliest = float("inf")
    for question in reversed(questions(log)):
        text = known.get(log_id(question))
        if text is None:
            continue
        if earliest < text.began:
            yield Harm(Kind.REORDERED, log.conversation_id, f"{text} is before what was acknowledged before it")
        earliest = min(earliest, text.acknowledged)


def reply_harms(log: Kept) -> Iterator[Harm]:
    """One reply to each question, in their order, and it names all that it answers."""
    waiting = {question.offset: question.message_id for question in questions(log)}
    for reply in replies(log):
        answered = [question.message_id for question in questions(log) if reply.answers(question.offset)]
        if named(reply) != answered:
            yield Harm(Kind.CORRUPTED, log.conversation_id, f"{reply} answers {answered}")
        gone = [offset for offset in range(reply.question, reply.last + 1) if waiting.pop(offset, None) is not None]
        if len(gone) < len(answered):
            yield Harm(Kind.DOUBLED, log.conversation_id, f"{reply} answers what was answered before")
        elif any(offset < reply.question for offset in waiting):
            yield Harm(Kind.REORDERED, log.conversation_id, f"{reply} came before that to an earlier question")
    for message_id in waiting.values():
        yield Harm(Kind.LOST, log.conversation_id, f"{message_id} was never answered")


# --- the provider -------------------------------------------------------------------------------------------------


def silence_harms(number: str, silences: Iterable[Silence], taken: Iterable[Taken]) -> Iterator[Harm]:
    for silence in silences:
        for message in taken:
            if message.number == number and silence.sure + FLIGHT_SECONDS < message.at < silence.unsure:
                yield Harm(Kind.UNASKED, number, f"{message} was sent after a STOP")


def sent_harms(number: str, logs: Sequence[Kept], bag: Bag, silences: Sequence[Silence]) -> Iterator[Harm]:
    places = {message.provider_id: place for place, message in enumerate(bag.taken)}
    sent: list[int] = []
    for log in logs:
        for reply in replies(log):
            parts = [one for one in bag.parts.get((log.conversation_id, reply.offset), ()) if one.provider_id in places]
            mine = [places[str(one.provider_id)] for one in parts]
            sent += mine
            bodies = [bag.taken[place].body for place in mine]
            if any(bag.taken[place].number != number for place in mine):
                yield Harm(Kind.CORRUPTED, number, f"{reply} went to somebody else")
            if not is_whole(reply, parts, bodies) and not is_unwanted(reply, silences):
                yield Harm(Kind.LOST, number, f"of {reply} was sent {bodies}")
            elif not begins(reply, bodies):
                yield Harm(Kind.CORRUPTED, number, f"{reply} was sent as {bodies}")
    if sent != sorted(sent):
        yield Harm(Kind.REORDERED, number, f"the replies were sent as {sent}")


def stray_harms(bag: Bag) -> Iterator[Harm]:
    """Every message that was taken is a part of one reply, but for those that a STOP left in doubt."""
    times = Counter(part.provider_id for parts in bag.parts.values() for part in parts)
    person = {log.conversation_id: number_of(log.person) for log in bag.logs}
    doubts = Counter(
        person[where] for (where, _), parts in bag.parts.items() for one in parts if one.state == "sending"
    )
    for message in bag.taken:
        if times[message.provider_id] > 1:
            yield Harm(Kind.LOST, message.number, f"{message} stands for several parts")
        elif not times[message.provider_id]:
            doubts[message.number] -= 1
            if doubts[message.number] < 0:
                yield Harm(Kind.DOUBLED, message.number, f"{message} is not what the store knows to be sent")


def is_whole(reply: Reply, parts: Sequence[Part], bodies: Sequence[str]) -> bool:
    settled = all(part.state == "sent" for part in parts)
    return settled and " ".join(bodies).split() == reply.draft.text.split()


def begins(reply: Reply, bodies: Sequence[str]) -> bool:
    told = " ".join(bodies).split()
    return reply.draft.text.split()[: len(told)] == told


# --- what a log shows ---------------------------------------------------------------------------------------------


def questions(log: Kept) -> list[Question]:
    return [entry for entry in log.entries if isinstance(entry, Question)]


def replies(log: Kept) -> list[Reply]:
    return [entry for entry in log.entries if isinstance(entry, Reply)]


def log_id(question: Question) -> str:
    """Without what the server puts before the id of a text that it answers itself."""
    return question.message_id.rpartition("-")[2]


def named(reply: Reply) -> list[str]:
    return list(reply.message_ids) or [reply.message_id]


def is_unheard(text: Written, silences: Iterable[Silence]) -> bool:
    """Surely: all of its posts fell into the silence."""
    return text.body not in {STOP, START} and any(
        silence.sure < text.began and text.last < silence.unsure for silence in silences
    )


def is_maybe_unheard(text: Written, silences: Iterable[Silence]) -> bool:
    return text.body not in {STOP, START} and any(
        silence.began < text.acknowledged and text.began < silence.over for silence in silences
    )


def is_unwanted(reply: Reply, silences: Iterable[Silence]) -> bool:
    return any(reply.created_at / 1000 < silence.over for silence in silences)
