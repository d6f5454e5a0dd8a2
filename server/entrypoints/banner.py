"""What a person sees when the server is up."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field

from server.settings import Settings
from server.wiring.server import Roles, Server

BOLD, DIM, PLAIN = "\033[1m", "\033[2m", "\033[0m"


@dataclass(frozen=True, slots=True)
class Talk:
    """A token to begin with: how long it is good for, and the commands for another one and for the terminal client."""

    token: str = field(repr=False)
    good_for: str
    again: str
    chat: str


def show_banner(server: Server, port: int) -> None:
    print(banner(server, port, colour=sys.stdout.isatty(), talk=local_talk(server, port)), flush=True)


def banner(server: Server, port: int, *, colour: bool, talk: Talk | None) -> str:
    bold, dim, plain = (BOLD, DIM, PLAIN) if colour else ("", "", "")
    settings = server.settings
    address = f"{host_of(settings)}:{port}"
    lines = [
        f"{bold}Switchboard{plain} is up at {bold}http://{address}{plain}",
        f"  model     {server.model}",
        f"  data      {store_of(settings)}",
    ]
    if server.roles.sockets:
        lines += [f"  socket    ws://{address}/{settings.stage} and /ws, described at http://{address}/asyncapi.json"]
    if settings.node_url:
        lines += [f"  node      {settings.node_url}, {what_of(server.roles)}"]
    if server.pool is None:
        lines += [f"  tokens    {settings.issuer}"]
    if talk is not None:
        url = shlex.quote(f"ws://{address}/{settings.stage}?Auth={talk.token}")
        lines += [
            "",
            f"{bold}Talk to it{plain} {dim}(this token is good for {talk.good_for}; another: {talk.again}){plain}",
            f"  wscat -c {url}",
            '  {"action":"sendMessage","message":"Hey, how is it going?"}',
            f"{dim}No wscat? npm install -g wscat; or, over there: {talk.chat}{plain}",
            "",
        ]
    return "\n".join(lines)


def what_of(roles: Roles) -> str:
    match roles:
        case Roles(sockets=True, turns=True):
            return "sockets and turns"
        case Roles(sockets=True):
            return "sockets; other processes run the turns"
        case _:
            return "turns; other processes hold the sockets"


def local_talk(server: Server, port: int) -> Talk | None:
    if server.pool is None or not server.roles.sockets:
        return None
    chat = f"make chat{elsewhere(server.settings, port)}"
    return Talk(server.pool.token("demo"), "a day", "make -s token USER=demo", chat)


def elsewhere(settings: Settings, port: int) -> str:
    """What `make chat` must be told to find this server."""
    fields = Settings.model_fields
    told = {"PORT": port, "DATA_DIR": settings.data_dir}
    return "".join(f" {name}={value}" for name, value in told.items() if value != fields[name.lower()].default)


def host_of(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "127.0.0.1": "localhost"}.get(settings.host, settings.host)  # noqa: S104
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def store_of(settings: Settings) -> str:
    if settings.backend == "memory":
        return "in memory: forgotten when the server stops"
    if settings.backend == "aws":
        return f"the DynamoDB table {settings.table_name}"
    if settings.database_url.get_secret_value():
        return "the database at DATABASE_URL"
    return str(settings.data_dir)
