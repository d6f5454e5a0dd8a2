"""`python -m infra.cluster.run`: the server on an AWS of this machine, with the rights that it has on the real one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.cluster.deploy import DeployFailed, deploy
from infra.cluster.emulator import ON_EMULATOR, Emulator, NotInstalled, PortTaken, emulator, free_port
from infra.cluster.people import FILE_NAME, PASSWORD, make_person, state_of_emulator, write_environment
from infra.cluster.rights import connect, server_of
from server.entrypoints.banner import Talk, banner, elsewhere
from server.entrypoints.host import run
from server.entrypoints.logs import catch_the_rest, configure_logs
from server.errors import ServerError
from server.settings import Settings, read_settings
from server.wiring.auth import cognito_token
from server.wiring.server import Server

STACK = "switchboard"


def main() -> int:
    try:
        with cloud(state_of_emulator()):
            serve()
    except ServerError as error:
        say(error.message)
        return 2
    except (DeployFailed, NotInstalled, PortTaken) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def serve() -> None:
    settings = read_settings()
    configure_logs(settings.log_level, settings.log_format)
    catch_the_rest()

    def ready(server: Server, port: int) -> None:
        print(banner(server, port, colour=sys.stdout.isatty(), talk=talk(settings, port)), flush=True)

    run(settings, ready)


def talk(settings: Settings, port: int) -> Talk:
    where = elsewhere(settings, port)
    again = f"make -s token BACKEND=aws USER=demo{where}"
    token = cognito_token(settings, "demo", PASSWORD)
    return Talk(token, "an hour", again, f"SWITCHBOARD_TOKEN=$({again}) make chat{where}")


@contextmanager
def cloud(state: Path) -> Iterator[None]:
    """While the block lasts, our environment is that of a server in the cluster."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = state / FILE_NAME
    with emulator(state, port_of(state)) as owner:
        settings = deploy(connect("cloudformation", owner), STACK, ON_EMULATOR, say)
        make_person(connect("cognito-idp", owner), settings["COGNITO_USER_POOL_ID"], "demo")
        # The owner's keys are for `make token`, which makes people.
        write_environment(file, {**owner.environment(), **settings})
        os.environ.update(server_environment(owner, settings))
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def server_environment(owner: Emulator, settings: dict[str, str]) -> dict[str, str]:
    return {**server_of(owner, STACK).environment(), **settings, "BACKEND": "aws"}


def port_of(state: Path) -> int:
    """The same each time: what the emulator keeps, the queue above all, is named by it."""
    file = state / "port"
    if not file.exists():
        file.write_text(str(free_port()))
    return int(file.read_text())


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
