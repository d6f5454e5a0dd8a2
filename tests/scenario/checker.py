"""Holds clients' histories, the store's log and the provider's requests against what the core promises.

Offline and pure: it takes values and gives back every harm it can name. What it knows of a server is the protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise

from server.model import Question, Reply
from tests.scenario.harms import Harm, Kind, Ledger, Ledgers, ledgers_of
from tests.scenario.history import Got, Kept, Run, Sent, Socket, devices_of
from tests.scenario.sight import Sight


def check(sockets: Sequence[Socket], logs: Iterable[Kept], runs: Iterable[Run] | None = None) -> list[Harm]:
    """`sockets`: all of every device that spoke, each device's in the order it opened them; none of them cancels.
    `logs`: read once all is quiet and answered. `runs`: all that there were; may be left out.
    """
    ledgers = ledgers_of(logs)
    harms = [harm for ledger in ledgers.values() for harm in log_harms(ledger.kept)]
    harms += id_harms(ledgers)
    harms += sent_harms(sockets, ledgers)
    for socket in sockets:
        harms += Sight(socket, ledgers).watch()
    for device, theirs in devices_of(sockets).items():
        harms += speaking_order_harms(device, theirs, ledgers)
        harms += went_back_harms(device, theirs)
    if runs is not None:
        harms += run_harms(list(runs), ledgers)
    return harms


# --- the log by itself --------------------------------------------------------------------------------------------


def log_harms(kept: Kept) -> Iterator[Harm]:
    yield from offset_harms(kept)
    asked: dict[int, Question] = {}
    answered: list[int] = []
    for entry in kept.entries:
        match entry:
            case Question():
                asked[entry.offset] = entry
            case Reply():
                yield from reply_harms(kept, entry, asked, answered)
                answered.append(entry.question)
    for offset in sorted(asked.keys() - set(answered)):
        yield Harm(Kind.LOST, kept.conversation_id, f"{asked[offset].message_id} was never answered")


def offset_harms(kept: Kept) -> Iterator[Harm]:
    expected = 1
    for entry in kept.entries:
        if entry.offset > expected:
            yield Harm(Kind.GAP, kept.conversation_id, f"offset {entry.offset} follows {expected - 1} in the log")
        elif entry.offset < expected:
            yield Harm(Kind.REORDERED, kept.conversation_id, f"offset {entry.offset} follows {expected - 1} in the log")
        expected = max(expected, entry.offset + 1)


def reply_harms(kept: Kept, reply: Reply, asked: Mapping[int, Question], answered: Sequence[int]) -> Iterator[Harm]:
    if reply.draft.code is None and reply.draft.finish_reason != "stop":
        yield Harm(Kind.CUT, kept.conversation_id, f"{reply} ended before its end")
    question = asked.get(reply.question)
    if question is None or question.message_id != reply.message_id:
        yield Harm(Kind.UNASKED, kept.conversation_id, f"{reply} answers {question}")
    elif reply.question in answered:
        yield Harm(Kind.DOUBLED, kept.conversation_id, f"{reply.message_id} has another reply at {reply.offset}")
    elif answered and reply.question < max(answered):
        yield Harm(Kind.REORDERED, kept.conversation_id, f"{reply.message_id} was answered after a later one")


def id_harms(ledgers: Ledgers) -> Iterator[Harm]:
    """A message id is one question, in all of a person's conversations."""
    ids = Counter(
        (ledger.kept.person, entry.message_id)
        for ledger in ledgers.values()
        for entry in ledger.kept.entries
        if isinstance(entry, Question)
    )
    for (person, message_id), times in ids.items():
        if times > 1:
            yield Harm(Kind.DOUBLED, person, f"{message_id} is in the log {times} times")


# --- what was said ------------------------------------------------------------------------------------------------


def sent_harms(sockets: Iterable[Socket], ledgers: Ledgers) -> Iterator[Harm]:
    """What is in the log was said, there and so."""
    sent = {event.message_id: event for socket in sockets for event in socket.events if isinstance(event, Sent)}
    for conversation_id, ledger in ledgers.items():
        for message_id, question in ledger.questions.items():
            said = sent.get(message_id)
            if said is None:
                yield Harm(Kind.UNASKED, conversation_id, f"nobody said {question}")
            elif (said.conversation_id, said.text) != (conversation_id, question.text):
                yield Harm(Kind.CORRUPTED, conversation_id, f"{said} is kept as {question}")


def speaking_order_harms(device: str, sockets: Sequence[Socket], ledgers: Ledgers) -> Iterator[Harm]:
    """What a device says for the first time is logged after all that it said before on that socket, but for what was
    refused. Of what it said again later, the refusal may have been lost, unless it was told more on that socket.
    """
    places = {one: question.offset for ledger in ledgers.values() for one, question in ledger.questions.items()}
    last = {event.message_id: number for number, socket in enumerate(sockets) for event in sent_on(socket)}
    known: set[str] = set()
    for number, socket in enumerate(sockets):
        refused, accepted = heard(socket, "error"), heard(socket, "messageAccepted")
        said = list(dict.fromkeys((event.conversation_id, event.message_id) for event in sent_on(socket)))
        for place, (where, one) in enumerate(said):
            if one in known or one not in places:
                continue
            for _, other in (before for before in said[:place] if before[0] == where and before[1] not in refused):
                is_sure = last[other] == number or one in accepted
                if is_sure and places.get(other, 0) > places[one]:
                    yield Harm(Kind.REORDERED, device, f"{one}, said after {other}, is before it in {where}")
        known.update(one for _, one in said)


def sent_on(socket: Socket) -> Iterator[Sent]:
    return (event for event in socket.events if isinstance(event, Sent))


def heard(socket: Socket, kind: str) -> set[str]:
    """Which messages were told of in a frame of this kind."""
    frames = (event.frame for event in socket.events if isinstance(event, Got))
    return {str(frame.get("messageId")) for frame in frames if frame["messageType"] == kind}


def went_back_harms(device: str, sockets: Iterable[Socket]) -> Iterator[Harm]:
    """A log never gets shorter."""
    newest: Counter[str] = Counter()
    for event in (event for socket in sockets for event in socket.events):
        if not isinstance(event, Got) or "offset" not in event.frame:
            continue
        conversation_id, offset = event.frame["conversationId"], event.frame["offset"]
        if event.frame["messageType"] == "connected" and offset < newest[conversation_id]:
            detail = f"{conversation_id} was at {newest[conversation_id]}, then at {offset}"
            yield Harm(Kind.LOST, device, detail)
        newest[conversation_id] = max(newest[conversation_id], offset)


# --- the provider -------------------------------------------------------------------------------------------------


def run_harms(runs: Sequence[Run], ledgers: Ledgers) -> Iterator[Harm]:
    """A killed run may be run again, but not while another runs, nor out of turn, nor once its reply is stored."""
    yield from unsaid_harms(runs, ledgers)
    in_order = sorted(runs, key=lambda run: (run.conversation_id, run.began))
    for conversation_id, theirs in groupby(in_order, key=lambda run: run.conversation_id):
        ledger = ledgers.get(conversation_id)
        if ledger is None:
            yield Harm(Kind.UNASKED, conversation_id, "a run for a conversation that is not kept")
            continue
        all_runs = list(theirs)
        yield from stale_harms(all_runs, ledger)
        mine = [run for run in all_runs if not run.excused]
        overlapping = [(one, other) for one, other in pairwise(mine) if overlap(one, other)]
        for one, other in overlapping:
            yield Harm(Kind.OVERLAP, conversation_id, f"{described(other)} began during {described(one)}")
        late = {id(other) for _, other in overlapping}
        for run in mine:
            if not isinstance(ledger.entries.get(run.question), Question):
                yield Harm(Kind.UNASKED, conversation_id, f"{described(run)} answers no question")
                continue
            if id(run) not in late:
                yield from turn_harms(run, ledger)
            yield from prompt_harms(run, ledger)


def unsaid_harms(runs: Iterable[Run], ledgers: Ledgers) -> Iterator[Harm]:
    """What is no error was said by the provider."""
    asked = {(run.conversation_id, run.question) for run in runs}
    for conversation_id, ledger in ledgers.items():
        for question in ledger.in_order:
            reply = ledger.replies.get(question.message_id)
            if reply is not None and reply.draft.code is None and (conversation_id, question.offset) not in asked:
                yield Harm(Kind.CORRUPTED, conversation_id, f"{reply} is of no run")


def overlap(one: Run, other: Run) -> bool:
    under_way = one.ended is None or one.ended > other.began
    return under_way and (one.life == other.life or one.sure_until > other.began)


def stale_harms(runs: Sequence[Run], ledger: Ledger) -> Iterator[Harm]:
    """A reply is what the newest run said: when another life began one, the lease of those before was over."""
    where = ledger.kept.conversation_id
    for question, theirs in groupby(sorted(runs, key=by_question), key=lambda run: run.question):
        entry = ledger.entries.get(question)
        reply = ledger.replies.get(entry.message_id) if isinstance(entry, Question) else None
        known = [run for run in theirs if run.said is not None and reply and run.began * 1000 < reply.created_at]
        if reply is None or not known or reply.draft.finish_reason != "stop":
            continue
        author = next((run for run in known if run.said == reply.draft.text), None)
        if author is None:
            yield Harm(Kind.CORRUPTED, where, f"{reply} is what no run said")
        elif known[-1].life != author.life and known[-1].began > author.sure_until:
            yield Harm(Kind.STALE, where, f"{described(author)} was kept, after {described(known[-1])} had begun")


def by_question(run: Run) -> tuple[int, float]:
    return run.question, run.began


def turn_harms(run: Run, ledger: Ledger) -> Iterator[Harm]:
    began = run.began * 1000
    for question in ledger.in_order:
        reply = ledger.replies.get(question.message_id)
        stored = reply.created_at if reply else float("inf")
        if question.offset < run.question and began < stored:
            detail = f"{described(run)} began before {question.message_id} was answered"
            yield Harm(Kind.REORDERED, ledger.kept.conversation_id, detail)
        if question.offset == run.question and began > stored + 1:
            yield Harm(Kind.DOUBLED, ledger.kept.conversation_id, f"{described(run)} began after its reply was stored")


def prompt_harms(run: Run, ledger: Ledger) -> Iterator[Harm]:
    """A prompt is the question, and before it whole exchanges: the newest ones, all that were not errors."""
    questions = [question for question in ledger.in_order if question.offset <= run.question]
    told: list[str] = []
    for question in questions[:-1]:
        reply = ledger.replies.get(question.message_id)
        if reply is not None and reply.draft.code is None:
            told += [question.text, reply.draft.text]
    told.append(questions[-1].text)
    if list(run.prompt) != told[-len(run.prompt) :]:
        yield Harm(Kind.CORRUPTED, ledger.kept.conversation_id, f"{described(run)} was shown {run.prompt}, not {told}")


def described(run: Run) -> str:
    return f"the run of question {run.question}, attempt {run.attempt}, in life {run.life}"
