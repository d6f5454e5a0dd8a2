"""`python -m server`: the commands a person types."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from getpass import getpass
from typing import TypeAlias

from server.errors import BadInput, ConfigError, ServerError, leaves
from server.settings import listing, read_settings

Command: TypeAlias = Callable[[argparse.Namespace], None]

REFUSED = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    # What people said is nobody else's on this machine.
    os.umask(0o077)
    command: Command = options.command
    try:
        command(options)
    except ServerError as error:
        print(error.message, file=sys.stderr)
        return REFUSED
    except ExceptionGroup as group:
        known, unforeseen = group.split(ServerError)
        refused = group.subgroup(ConfigError) or (known if unforeseen is None else None)
        if refused is None:
            raise
        print(*leaves(refused), sep="\n", file=sys.stderr)
        return REFUSED
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m server", description="Switchboard: a realtime assistant backend.")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, what: str, command: Command) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=what, description=what)
        sub.set_defaults(command=command)
        return sub

    add("serve", "Run the server until Ctrl-C.", serve).add_argument(
        "--no-turns", action="store_true", help="serve people only: other processes of the cluster run the turns"
    )
    add("worker", "Run turns until Ctrl-C, and take no sockets: other processes of the cluster hold them.", work)
    token = add("token", "Print a token of the user pool, and nothing else.", print_token)
    token.add_argument("--user", default="demo", help="whose (default: %(default)s)")
    token.add_argument(
        "--group",
        action="append",
        default=[],
        help="a group that the person is in, e.g. admin; again for another; local user pool only",
    )
    token.add_argument(
        "--hours", type=float, default=24, help="how long it is good for; local user pool only (default: %(default)s)"
    )
    token.add_argument(
        "--password-stdin",
        action="store_true",
        help="read Cognito's password from standard input; else SWITCHBOARD_PASSWORD has it, or you are asked",
    )
    add("sign-out", "Refuse a person's tokens and close their sockets.", sign_out).add_argument(
        "user", help="name in the local user pool, or the token's sub"
    )
    letters = add("dead-letters", "Look after questions that ended in an error.", dead_letters)
    letters.add_argument("act", choices=["list", "show", "requeue"], help="what to do")
    letters.add_argument("letter", nargs="*", help="as `list` names them; requeue without one takes all")
    talk = add("chat", "Talk to the assistant in this terminal; or through a pipe, a message a line.", chat)
    talk.add_argument("--user", help="who you are, in the local user pool (default: demo)")
    talk.add_argument("--token", help="instead of a user; better kept in the environment variable SWITCHBOARD_TOKEN")
    talk.add_argument("--url", help="the server's socket (default: ws://HOST:PORT/ws)")
    phone = add("text", "Text the server that runs here, as a phone and its provider would.", text)
    phone.add_argument(
        "--channel", choices=["sms", "whatsapp", "azure_sms"], default="sms", help="which way (default: %(default)s)"
    )
    phone.add_argument("--from", dest="sender", default="+15005550001", help="your number (default: %(default)s)")
    phone.add_argument("messages", nargs="+", metavar="message", help="what you write; several are sent in a row")
    add("settings", "Print every setting: value, origin, meaning.", print_settings)
    return top


# The commands import what they need when they are run: `token` and `settings` should not wait for the server's parts.


def serve(options: argparse.Namespace) -> None:
    run(turns=not options.no_turns)


def work(_options: argparse.Namespace) -> None:
    run(sockets=False)


def run(*, sockets: bool = True, turns: bool = True) -> None:
    # All that is loaded from here on stays; the host starts the collector again when it is up.
    gc.disable()
    from server.entrypoints.banner import show_banner
    from server.entrypoints.host import run
    from server.entrypoints.logs import catch_the_rest, configure_logs
    from server.wiring.server import Roles

    settings = read_settings()
    configure_logs(settings.log_level, settings.log_format)
    catch_the_rest()
    run(settings, show_banner, Roles(sockets=sockets, turns=turns))


def print_token(options: argparse.Namespace) -> None:
    from server.wiring.auth import cognito_token, local_pool

    settings = read_settings()
    if settings.uses_local_pool:
        seconds = int(options.hours * 3600)
        print(local_pool(settings).token(options.user, lifetime_seconds=seconds, groups=options.group))
    elif options.group:
        raise BadInput("--group is for the local user pool; Cognito knows who is in which group.")
    else:
        print(cognito_token(settings, options.user, password_of(options)))


def password_of(options: argparse.Namespace) -> str:
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\n")
    return os.environ.get("SWITCHBOARD_PASSWORD") or getpass(f"Password of {options.user}: ")


def sign_out(options: argparse.Namespace) -> None:
    from server.entrypoints import office

    office.sign_out(read_settings(), options.user)


def dead_letters(options: argparse.Namespace) -> None:
    from server.entrypoints import office

    match options.act:
        case "list":
            office.list_dead_letters(read_settings())
        case "show" if len(options.letter) == 1:
            office.show_dead_letter(read_settings(), *options.letter)
        case "requeue":
            office.requeue_dead_letters(read_settings(), options.letter)
        case _:
            raise BadInput("show takes one letter; `dead-letters list` names them.")


def chat(options: argparse.Namespace) -> None:
    try:
        from server.entrypoints.chat import converse
        from server.entrypoints.chat.address import find_address, find_identity

        code = converse(find_address(options.url), find_identity(options.user, options.token))
    except KeyboardInterrupt:  # Before it knew better: its parts take a second to come.
        code = INTERRUPTED
    sys.exit(code)


def text(options: argparse.Namespace) -> None:
    from server.entrypoints import azure_phone, phone

    if options.channel == "azure_sms":
        azure_phone.text(read_settings(), options.sender, options.messages)
    else:
        phone.text(read_settings(), options.channel, options.sender, options.messages)


def print_settings(_options: argparse.Namespace) -> None:
    rows = listing(read_settings())
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, origin, meaning in rows:
        print(f"{name:{names}}  {value:{values}}  {origin:11}  {meaning}")


if __name__ == "__main__":
    sys.exit(main())
