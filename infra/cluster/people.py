"""`python -m infra.cluster.people --user NAME`: a token of the pool. In the emulator's, the person is made first."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from server.__main__ import main as server
from server.settings import read_settings

FILE_NAME = "server.env"
# It opens an emulator on this machine and nothing else.
PASSWORD = "Correct-horse-1"  # noqa: S105


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.cluster.people", description=__doc__)
    parser.add_argument("--user", default="demo", help="whose (default: %(default)s)")
    user = parser.parse_args().user
    running = read_environment(state_of_emulator() / FILE_NAME)
    os.environ.update(running)
    try:
        if running:
            make_person(boto3.client("cognito-idp"), running["COGNITO_USER_POOL_ID"], user)
            os.environ["SWITCHBOARD_PASSWORD"] = PASSWORD
    except (ClientError, BotoCoreError) as error:
        print(error, file=sys.stderr)
        return 1
    return server(["token", "--user", user])


def state_of_emulator() -> Path:
    """Where `make run-aws` with the same DATA_DIR keeps its AWS."""
    return read_settings(backend="memory").data_dir / "aws"


def make_person(cognito: Any, pool: str, user: str) -> None:
    """Whose password is `PASSWORD`, whatever it was before."""
    with suppress(cognito.exceptions.UsernameExistsException):
        cognito.admin_create_user(UserPoolId=pool, Username=user, MessageAction="SUPPRESS")
    cognito.admin_set_user_password(UserPoolId=pool, Username=user, Password=PASSWORD, Permanent=True)


def read_environment(path: Path) -> dict[str, str]:
    """Nothing where there is no such file."""
    if not path.exists():
        return {}
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def write_environment(path: Path, values: Mapping[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))


if __name__ == "__main__":
    sys.exit(main())
