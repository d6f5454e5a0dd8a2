"""A terminal: the conversation, above the reply's last row, the line being typed and the state.

What is above is written once and scrolls away as usual. A terminal of another width breaks rows in its own way, and
none says how: the screen is then written anew.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import BufferControl, ConditionalContainer, FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from server.entrypoints.chat.view import Ears, Kind, clean

PROMPT = "> "
WIDEST = 100
MOST_REMEMBERED = 500
BELOW = 3
REFRESH_SECONDS = 0.25
QUESTIONS = {Kind.QUESTION, Kind.FOREIGN_QUESTION, Kind.PAST_QUESTION}
COLOURS = Style.from_dict(
    {"question": "bold ansicyan", "remark": "ansibrightblack", "warning": "ansiyellow", "failure": "ansired"}
)


@dataclass(slots=True)
class Line:
    """`taken`: so many characters of it are above."""

    sign: str
    style: str
    text: str = ""
    taken: int = 0

    def take(self, columns: int, *, grows: bool) -> StyleAndTextTuples:
        """The rows that were not taken before; the last of a line that grows is left."""
        indent = "  " if self.sign else ""
        sign = indent if self.taken else self.sign
        *rows, last = fold(self.text[self.taken :], max(8, min(columns - 1, WIDEST)) - len(self.sign))
        self.taken = len(self.text) - len(last)
        taken = rows if grows else [*rows, last]
        return [(self.style, f"{indent if number else sign}{row}\n") for number, row in enumerate(taken)]


def standard_output() -> Output:
    output = Vt100_Output.from_pty(sys.stdout, enable_bell=False)
    output.enable_cpr = False  # A terminal that does not answer such requests would be complained of.
    return output


class Screen:
    def __init__(self, output: Output, *, colour: bool) -> None:
        self._style = COLOURS if colour else Style([])
        self._depth = None if colour else ColorDepth.DEPTH_1_BIT
        self._output = output
        self._columns = self._output.get_size().columns
        self._lines: deque[Line] = deque(maxlen=MOST_REMEMBERED)
        self._fresh: list[Line] = []
        self._reply: Line | None = None
        self._app: Application[None] | None = None
        self._typing = Buffer()

    def show(self, kind: Kind, text: str) -> None:
        self._reply = None
        look = kind.value
        if look.sign is not None:
            first, *rest = clean(text).split("\n")
            gap = [Line("", "")] if kind in QUESTIONS else []
            indent = "  " if look.sign else ""
            self._add(*gap, Line(look.sign, look.style, first), *(Line(indent, look.style, line) for line in rest))

    def speak(self, words: str) -> None:
        if self._reply is None:
            self._reply = Line("", "")
            self._add(self._reply)
        first, *rest = clean(words).split("\n")
        self._reply.text += first
        self._add(*(Line("", "", line) for line in rest))
        self._reply = self._lines[-1]

    async def listen(self, ears: Ears) -> None:
        self._app = self._application(ears)
        try:
            await self._app.run_async(handle_sigint=False, set_exception_handler=False)
        except EOFError:
            ears.leave(0)

    def interrupt(self, ears: Ears) -> None:
        """A line under way is given up first."""
        if self._typing.text:
            self._typing.reset()
        else:
            ears.interrupt()

    def _add(self, *lines: Line) -> None:
        self._lines.extend(lines)
        self._fresh.extend(lines)
        if self._app is not None:
            self._app.invalidate()

    # --- what is above

    def _write(self, app: Application[None]) -> None:
        """Before each drawing of what is below."""
        if app.is_done:
            self._reply = None
        size = self._output.get_size()
        if size.columns == self._columns:
            rows = self._take(self._fresh)
        else:
            self._columns = size.columns
            for line in self._lines:
                line.taken = 0
            rows = self._take(self._lines)[BELOW - size.rows :]
            app.renderer.erase()
            self._output.cursor_goto(0, 0)
            self._output.erase_down()
        self._fresh = [] if self._reply is None else [self._reply]
        if rows:
            app.renderer.erase()
            print_formatted_text(self._output, rows, self._style, color_depth=self._depth)

    def _take(self, lines: Iterable[Line]) -> StyleAndTextTuples:
        return [row for line in lines for row in line.take(self._columns, grows=line is self._reply)]

    # --- what is below

    def _application(self, ears: Ears) -> Application[None]:
        def entered(typing: Buffer) -> bool:
            ears.typed(typing.text)
            return False

        self._typing = Buffer(accept_handler=entered, multiline=False)
        prompt = BufferControl(self._typing, input_processors=[BeforeInput(PROMPT, "class:question")])
        reply = Window(FormattedTextControl(self._last_row), height=1)
        below = HSplit(
            [
                ConditionalContainer(reply, Condition(lambda: self._reply is not None)),
                Window(prompt, wrap_lines=True, dont_extend_height=True),
                Window(FormattedTextControl(lambda: ears.status, style="class:remark"), height=1),
            ]
        )
        return Application(
            Layout(below, focused_element=prompt),
            style=self._style,
            color_depth=self._depth,
            key_bindings=self._keys(ears),
            output=self._output,
            erase_when_done=True,
            refresh_interval=REFRESH_SECONDS,
            before_render=self._write,
        )

    def _last_row(self) -> str:
        return "" if self._reply is None else self._reply.text[self._reply.taken :]

    def _keys(self, ears: Ears) -> KeyBindings:
        def redraw(_event: object) -> None:
            self._columns = 0

        keys = KeyBindings()
        keys.add("c-l")(redraw)
        keys.add("c-c")(lambda _: self.interrupt(ears))
        keys.add("c-d", filter=Condition(lambda: not self._typing.text))(lambda _: ears.leave(0))
        keys.add("c-z")(lambda event: event.app.suspend_to_background())
        keys.add("escape", "enter")(lambda event: event.current_buffer.insert_text("\n"))
        return keys


def fold(text: str, columns: int) -> list[str]:
    """Rows of at most so many cells, broken between words where there are any. The last is the text's end, unchanged:
    folded again when it has grown, it gives the same rows as if all had come at once.
    """
    rows, start = [], 0
    while (end := reach(text, start, columns)) < len(text):
        space = text.rfind(" ", start + 1, end + 1)
        end = space if space > 0 else end
        rows.append(text[start:end].rstrip(" "))
        start = end + (text[end] == " ")
    return [*rows, text[start:]]


def reach(text: str, start: int, columns: int) -> int:
    """The end of what fits: a character at least."""
    for at in range(start, len(text)):
        columns -= get_cwidth(text[at])
        if columns < 0:
            return max(at, start + 1)
    return len(text)
