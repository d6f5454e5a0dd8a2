"""What a socket was shown of one conversation, and so what may come next."""

from __future__ import annotations

from dataclasses import dataclass

from server.model import Conversation, Frame, Snapshot


class WordsLost(Exception):
    """Words of a reply were lost on their way here."""


@dataclass(slots=True)
class Seen:
    """Entries up to `offset` (None: nobody knows where it began), turns of questions up to `turn`, and of the turn it
    is `following` every word so far: `said` code points. `asked`: the newest question that may wait for its reply.
    `since`: what is older than that may still come, and is shown. `words`: it wants them.
    """

    words: bool
    offset: int | None = None
    turn: int = 0
    following: int = 0
    said: int = 0
    attempt: int = 0
    asked: int = 0
    since: int = 0
    moved: tuple[int | None, int, int] = (None, 0, 0)
    quiet: int = 0

    def begin(self, shown: Conversation) -> None:
        """All that is in the log as it is given was shown."""
        self.offset, self.turn, self.since = shown.offset, shown.answered, 0
        # Where all is answered, one reply follows the last question that was.
        self.asked = shown.offset if shown.offset > shown.answered + bool(shown.answered) else 0

    def watch(self, known: Conversation) -> None:
        """Nothing that comes after what is in the log is to be missed, from now on; of what is, nobody knows."""
        self.offset = self.since = known.offset
        self.turn = min(known.answered, self.following - 1) if self.following else known.answered

    def follow(self, snapshot: Snapshot) -> None:
        self.following, self.said = snapshot.question, len(snapshot.text)
        self.attempt = max(self.attempt, snapshot.attempt)

    def goes_on(self, frame: Frame, attempt: int) -> bool:
        """Whether these are the next words of the reply that it is following, as most frames are. Then they count as
        shown from now on.
        """
        if frame.at != self.said or frame.end is None or attempt != self.attempt:
            return False
        if not self.turn < self.following == frame.turn:
            return False
        self.said = frame.end
        return True

    def is_early(self, frame: Frame) -> bool:
        """Whether something that comes before it is still on its way: other processes send what is theirs."""
        if self.offset is None:
            return False
        if frame.offset:
            return frame.offset > self.offset + 1
        return frame.turn > self.offset or self.turn < self.following < frame.turn

    def is_news(self, frame: Frame, attempt: int) -> bool:
        """What is, counts as shown from now on. Raises `WordsLost`."""
        if frame.offset:
            return self._entry(frame)
        if attempt < self.attempt and attempt:
            return False
        self.attempt = max(attempt, self.attempt)
        if frame.delta:
            return frame.turn == self.following > self.turn and self._speaks(frame)
        if frame.turn > self.turn:
            self.following, self.said = frame.turn, 0
        return frame.turn > self.turn or not frame.turn

    def is_overdue(self) -> bool:
        """Ask at each look: whether something should have come by now. The longer nothing does, the more seldom it is:
        after 2, 4, 8 looks without news, and so on.
        """
        now = self.offset, self.said, self.following
        self.quiet = self.quiet + 1 if now == self.moved else 0
        self.moved = now
        is_time = self.quiet > 1 and self.quiet.bit_count() == 1
        return self.offset is not None and max(self.asked, self.following) > self.turn and is_time

    def _entry(self, frame: Frame) -> bool:
        if self.offset is not None:
            if self.since < frame.offset <= self.offset:
                return False
            self.offset = max(self.offset, frame.offset)
        if not frame.turn:
            self.asked = frame.offset
            return True
        if frame.turn == self.following:
            if self.words and frame.end is not None and frame.end != self.said and self.following > self.turn:
                raise WordsLost
            self.following = 0
        self.turn = max(self.turn, frame.turn, frame.through)
        return True

    def _speaks(self, frame: Frame) -> bool:
        """Words make sense only after the beginning of their reply, or a snapshot; each once."""
        if frame.at is None or frame.end is None:
            return True
        if frame.end <= self.said:
            return False
        if frame.at != self.said:
            raise WordsLost
        self.said = frame.end
        return True
