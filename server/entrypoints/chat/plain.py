"""What a pipe gets: each reply, whole, when it has ended, on standard output; all remarks on standard error.

Words already written to a pipe could not be taken back when a reply begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from server.entrypoints.chat import effects


class Plain:
    def __init__(self, out: Callable[[str], None], remark: Callable[[str], None]) -> None:
        self._out = out
        self._remark = remark

    def show(self, what: effects.Show) -> None:
        match what:
            case effects.Spoken() | effects.Anew():
                pass
            case effects.Asked(text, mine):
                if not mine:
                    self._remark(f"(from another device) {text}\n")
            case effects.Ended():
                self._end(what)
            case effects.Told(text):
                self._remark(f"{text}\n")
            case effects.Past(entries):
                for entry in entries:
                    self._out(f"{'you' if entry.role == 'user' else 'assistant'}: {entry.text}\n")
            case effects.Listing():
                self._out("".join(f"{line}\n" for line in what.lines()))
            case _:
                assert_never(what)

    def bottom(self, status: str, typed: tuple[str, int] | None) -> None:
        """Nothing: it would not go away again."""

    def redraw(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _end(self, reply: effects.Ended) -> None:
        if reply.failed or not reply.mine:
            self._remark(f"{reply.text}\n")
        else:
            self._out(f"{reply.text}\n")
        if reply.early:
            self._remark(f"({reply.early})\n")
