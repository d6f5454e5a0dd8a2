"""A client of the socket for a terminal, or for a pipe.

`commands` and `talk` know what is meant and what is to be done (`effects`), with `requests` (what awaits an answer) and
`transcript` (what was shown); none of them does any I/O. `link` keeps a connection by what `verdict` says of the last
one. `screen` or `plain` prints, `terminal` and `editor` read. `program` puts them together.
"""

from __future__ import annotations

import asyncio
import os
import sys

from server.entrypoints.chat.address import Address, Identity
from server.entrypoints.chat.plain import Plain
from server.entrypoints.chat.program import Printer, Program
from server.entrypoints.chat.screen import Screen
from server.entrypoints.chat.terminal import columns, is_terminal, writer

BROKEN_PIPE = 141


def converse(address: Address, identity: Identity) -> int:
    """Until the person leaves, or the lines end. The exit code."""
    on_screen = is_terminal(sys.stdout)
    printer: Printer = Plain(writer(sys.stdout), writer(sys.stderr))
    if on_screen:
        printer = Screen(writer(sys.stdout), columns, colour=not os.environ.get("NO_COLOR"))
    program = Program(address, identity, printer, interactive=on_screen and sys.stdin.isatty())
    try:
        return asyncio.run(program.run())
    except* BrokenPipeError:
        # Nobody reads any more. Python would complain of it at its end, when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
