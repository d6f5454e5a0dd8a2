"""`python -m server`: the commands a person types."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from server.errors import ConfigError, ServerError
from server.settings import listing, read_settings

Command: TypeAlias = Callable[[argparse.Namespace], None]

REFUSED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    command: Command = options.command
    try:
        command(options)
    except ServerError as error:
        print(error.message, file=sys.stderr)
        return REFUSED
    except ExceptionGroup as group:
        refused, _ = group.split(ConfigError)
        if refused is None:
            raise
        print(*(error for error in refused.exceptions), sep="\n", file=sys.stderr)
        return REFUSED
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m server", description="Switchboard: a realtime assistant backend.")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, what: str, command: Command) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=what, description=what)
        sub.set_defaults(command=command)
        return sub

    add("serve", "Run the server until Ctrl-C.", serve)
    token = add("token", "Print a token of the local user pool, and nothing else.", print_token)
    token.add_argument("--user", default="demo", help="whose (default: %(default)s)")
    token.add_argument("--hours", type=float, default=24, help="how long it is good for (default: %(default)s)")
    add("settings", "Print every setting: value, origin, meaning.", print_settings)
    return top


# The commands import what they need when they are run: `token` and `settings` should not wait for the server's parts.


def serve(_options: argparse.Namespace) -> None:
    from server.entrypoints.banner import show_banner
    from server.entrypoints.host import run
    from server.entrypoints.logs import configure_logs

    settings = read_settings()
    configure_logs(settings.log_level, settings.log_format)
    run(settings, show_banner)


def print_token(options: argparse.Namespace) -> None:
    from server.wiring import local_pool

    print(local_pool(read_settings()).token(options.user, lifetime_seconds=int(options.hours * 3600)))


def print_settings(_options: argparse.Namespace) -> None:
    rows = listing(read_settings())
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, origin, meaning in rows:
        print(f"{name:{names}}  {value:{values}}  {origin:11}  {meaning}")


if __name__ == "__main__":
    sys.exit(main())
