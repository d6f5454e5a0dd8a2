"""What is known once all is over, and what must not have happened."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from server.model import Reply
from tests.scenario.checker import check
from tests.scenario.harms import Harm, Kind
from tests.scenario.history import Kept, Run, frames_of
from tests.scenario.nemesis import PICK_UP_SECONDS, Nemesis
from tests.scenario.pick_ups import PickUp, pick_ups
from tests.scenario.storm import SEED, questions

# For each message.
MOST_WORDLESS = 0.01
LONGEST_END_SECONDS = 30


@dataclass
class Aftermath:
    """Everything that is known in the end. `unsettled`: who was not answered."""

    folder: Path
    nemesis: Nemesis
    unsettled: Sequence[str]
    logs: Sequence[Kept]
    runs: Sequence[Run]

    @cached_property
    def found(self) -> list[Harm]:
        return check(self.nemesis.sockets, self.logs, self.runs)

    @property
    def harms(self) -> list[Harm]:
        return [harm for harm in self.found if harm.kind is not Kind.WORDLESS]

    @property
    def wordless(self) -> list[Harm]:
        """No harm where a process was disturbed: what is lost on its way to another is shown from the log, which has no
        words.
        """
        lives = self.nemesis.berths.lives
        wordless = (harm for harm in self.found if harm.kind is Kind.WORDLESS)
        return [one for one in wordless if one.at is None or not any(life.is_disturbed(one.at) for life in lives)]

    @property
    def errors(self) -> Counter[str | None]:
        """Codes of replies that say so."""
        replies = [entry for log in self.logs for entry in log.entries if isinstance(entry, Reply)]
        return Counter(reply.draft.code for reply in replies if reply.draft.code is not None)

    @cached_property
    def pick_ups(self) -> list[PickUp]:
        return pick_ups(self.nemesis.deaths, self.logs, self.runs, self.nemesis.disturbances)

    @property
    def slowest_pick_up(self) -> float:
        return max((one.undisturbed for one in self.pick_ups), default=0)

    def describe(self) -> str:
        nemesis, sockets = self.nemesis, self.nemesis.sockets
        shown = {kind: len(frames_of(sockets, kind)) for kind in ("assistantDelta", "assistantSnapshot", "resumed")}
        return (
            f"{len(nemesis.deaths)} kills, {len(questions(self.logs))} messages, {len(sockets)} sockets, {shown}; "
            f"{len(self.runs)} runs in {len(nemesis.berths.lives)} lives, {len(nemesis.berths.stillborn)} stillborn; "
            f"slowest pick-up after a kill {self.slowest_pick_up:.1f} s, with what was done meanwhile "
            f"{max((one.waited for one in self.pick_ups), default=0):.1f} s; slowest end {nemesis.slowest_end:.1f} s; "
            f"{len(self.found) - len(self.harms)} replies shown without words, {len(self.wordless)} in peace; "
            f"{nemesis.newcomers} newcomers, {nemesis.cut_off} of {len(nemesis.readers)} readers cut off; "
            f"dealt: {dict(nemesis.blows)}"
        )

    def counts(self) -> str:
        """Of every kind of harm."""
        found = Counter(harm.kind for harm in (*self.harms, *self.wordless))
        return "harm: " + ", ".join(f"{kind} {found[kind]}" for kind in Kind)

    def keep(self) -> str:
        """Puts the histories where they can be looked at again, and says where."""
        kept = self.folder / "histories.pickle"
        nemesis = self.nemesis
        lives = nemesis.berths.lives
        kept.write_bytes(pickle.dumps((nemesis.sockets, self.logs, self.runs, nemesis.deaths, nemesis.dealt, lives)))
        return f"histories of SEED={SEED}: {kept}"

    def must_be_harmless(self) -> None:
        assert self.harms == [], "\n".join([self.counts(), self.keep(), *map(str, self.harms[:20])])
        assert len(self.wordless) <= MOST_WORDLESS * len(questions(self.logs)), "\n".join(
            [self.counts(), self.keep(), *map(str, self.wordless[:20])]
        )
        assert self.unsettled == [], self.keep()
        assert self.nemesis.berths.faults == []
        assert self.nemesis.berths.miscarried == []
        assert self.errors == {}
        assert [one.name for one in self.nemesis.readers if one.outlasted] == []
        assert self.nemesis.cut_off == sum(one.stopped for one in self.nemesis.readers)
        assert self.slowest_pick_up <= PICK_UP_SECONDS
        assert self.nemesis.slowest_end <= LONGEST_END_SECONDS
