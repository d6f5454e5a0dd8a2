"""AWS on this machine: ministack, in a virtual environment of its own beside ours."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PYTHON = Path(sys.prefix) / "ministack" / "bin" / "python"
REGION = "eu-west-1"
# Parameters of the template. The emulator speaks plain HTTP.
ON_EMULATOR = {"Keep": "Delete", "Transport": "Any"}
START_SECONDS = 30
END_SECONDS = 5
TRIES = 5
# It ends with the process that holds the other end of its standard input, also when that one is killed.
LEASHED = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
sys.argv = ["ministack"]
from ministack.app import main
main()
"""


class NotInstalled(Exception):
    """The emulator's virtual environment is not there; the message says how to make it."""


class PortTaken(Exception):
    """Another process was first."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running one. Its keys are worth nothing anywhere else."""

    url: str
    access_key_id: str = "test"
    secret_access_key: str = "test"  # noqa: S105 - what the emulator takes by default

    def environment(self) -> dict[str, str]:
        """What AWS's clients and the server's settings read."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            # A developer's own profile must not get between.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def emulator(state: Path, port: int = 0) -> Iterator[Emulator]:
    """Started with checks of signatures and permissions, ready, and gone at the end. Raises `NotInstalled`.

    It writes into `state` and nowhere else. Ended in good order, it leaves there what the next one on the same port
    begins with; without a port it takes a free one. Raises `PortTaken`.
    """
    if not PYTHON.exists():
        raise NotInstalled(f"There is no {PYTHON}; make {PYTHON.parents[1]}/.ready")
    for last in reversed(range(TRIES)):
        try:
            process, running = start(state, port or free_port())
            break
        except PortTaken:
            if port or not last:
                raise
    try:
        yield running
    finally:
        end(process)


def start(state: Path, port: int) -> tuple[subprocess.Popen[bytes], Emulator]:
    running = Emulator(f"http://127.0.0.1:{port}")
    log = state / f"ministack-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own words
            [PYTHON, "-c", LEASHED],
            env=environment(running, state, port),
            cwd=state,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for us; who still needs it then ends it.
            start_new_session=True,
        )
    try:
        wait_until_it_listens(process, log, running.url)
    except BaseException:
        end(process)
        raise
    return process, running


def environment(running: Emulator, state: Path, port: int) -> Mapping[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(state),
        "TMPDIR": str(state),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state / "state"),
        "S3_DATA_DIR": str(state / "s3"),
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": running.access_key_id,
        "AWS_SECRET_ACCESS_KEY": running.secret_access_key,
        "MINISTACK_REGION": REGION,
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
    }


def wait_until_it_listens(process: subprocess.Popen[bytes], log: Path, url: str) -> None:
    """Its own word for it: whoever else answers at the port may be another's emulator."""
    deadline = time.monotonic() + START_SECONDS
    while f"Running on {url}".encode() not in log.read_bytes():
        if process.poll() is not None:
            said = log.read_text(errors="replace")
            raise PortTaken(said) if "in use" in said else RuntimeError(f"the emulator did not start:\n{said}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the emulator did not start within {START_SECONDS} s; see {log}")
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
