"""A client of the socket for a terminal, or for a pipe.

`talk` knows what is meant (`commands`) and what is to be done, with `requests` (what awaits an answer), `transcript`
(what was shown) and `pages` (what is looked up); none of them does any I/O. `link` keeps a connection by what `verdict`
says of the last one. `screen` or `plain` shows and reads (`view`). `program` puts them together.
"""

from __future__ import annotations

import asyncio
import os
import sys

from server.entrypoints.chat.address import Address, Identity
from server.entrypoints.chat.plain import Plain
from server.entrypoints.chat.program import Program

BROKEN_PIPE = 141


def converse(address: Address, identity: Identity) -> int:
    """Until the person leaves, or the lines end. The exit code."""
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    try:
        return asyncio.run(program(address, identity, interactive=is_terminal).run())
    except* BrokenPipeError:
        # Nobody reads any more. Python would complain of it at its end, when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE


def program(address: Address, identity: Identity, *, interactive: bool) -> Program:
    if not interactive:
        return Program(address, identity, Plain(), interactive=False)
    from server.entrypoints.chat.screen import (
        Screen,
        standard_output,
    )  # It takes a moment, for which a pipe need not wait.

    screen = Screen(standard_output(), colour=not os.environ.get("NO_COLOR"))
    return Program(address, identity, screen, interactive=True)
