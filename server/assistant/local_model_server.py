"""The child process of `local_model`: llama.cpp's HTTP server around one GGUF file, for as long as the parent lives.

The first line of stdin is the API key. One line on stdout answers: `READY <address>` or `FAILED <reason>`. The end of
stdin is the end of the parent, however it came, and ours.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

SLOTS = 4


def main(arguments: Sequence[str]) -> NoReturn:
    options = _options(arguments)
    answers = _take_stdout()
    key = sys.stdin.readline().strip()
    if not key:
        os._exit(1)
    try:
        server = _serve(options, key)
    except (ImportError, RuntimeError) as error:
        _answer(answers, f"FAILED {' '.join(str(error).split())}")
        os._exit(1)
    _answer(answers, f"READY {server.listening_address}")
    # Loading holds the interpreter lock, so no thread could have seen the end of stdin any earlier than this.
    sys.stdin.read()
    os._exit(0)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m server.assistant.local_model_server", description=__doc__)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--window", type=int, default=2048, help="tokens that a prompt and its reply may hold")
    parser.add_argument("--threads", type=int, default=1, help="for writing a reply")
    parser.add_argument("--batch-threads", type=int, default=2, help="for reading a prompt")
    return parser.parse_args(arguments)


def _take_stdout() -> int:
    """Stdout for our one line alone: whatever the library prints there goes to stderr, and never fills the pipe."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def _answer(answers: int, line: str) -> None:
    with suppress(BrokenPipeError):  # The parent is gone; the end of stdin says so too.
        os.write(answers, f"{line}\n".encode())
    os.close(answers)


def _serve(options: argparse.Namespace, key: str) -> Any:
    """A server that listens on loopback with the model loaded. Raises `RuntimeError`; the reason is on stderr."""
    import xllamacpp  # Here, so that its absence is answered as FAILED.

    params = xllamacpp.CommonParams()
    params.model.path = str(options.gguf)
    params.model_alias = {options.gguf.stem}
    params.hostnames = ["127.0.0.1"]
    params.port = options.port
    params.api_keys = [key]
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * options.window
    params.fit_params = False  # Else little free memory would quietly shrink the window.
    params.n_batch = 512
    params.n_ubatch = 256
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.batch_threads
    params.cache_ram_mib = 0  # Else it keeps up to 8 GiB of old prompts.
    params.ui = False
    params.offline = True
    params.verbosity = 1  # Errors only.
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main(sys.argv[1:])
