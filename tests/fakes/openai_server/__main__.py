"""The fake as a process of its own. Prints one line, ``READY http://127.0.0.1:PORT/v1``, once it listens."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence

import uvicorn

from tests.fakes.openai_server import MODELS, Answer, openai_server, words

_EPILOG = """\
Any API key is good but "bad-key". Beside /v1/responses and /v1/models, while it runs:
  POST /_control/script      {"answers": [{"fault": "reset", "at": 2}], "normal": {"interval": 0.1}}: the next
                             requests get these answers, later ones the normal one
  GET  /_control/requests    what was asked, and how it ended
  GET  /_control/runs        how many were created, in all and per metadata.run_id, and how each is now
  GET  /_control/violations  what was wrong by OpenAI's description
  POST /_control/reset       as at the start
"""


def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    factory = uvicorn.Config("", loop="auto", log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(args))


async def _serve(args: argparse.Namespace) -> None:
    tokens = None if args.reply == "echo" else words(args.reply)
    normal = Answer(tokens=tokens, length=args.tokens, first_delay=args.first, interval=args.interval)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with openai_server(
        normal=normal, models=dict(args.model or MODELS), validate=args.validate, port=args.port
    ) as fake:
        print(f"READY {fake.base_url}", flush=True)
        await stopped.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fakes.openai_server",
        description="Plays OpenAI's Responses API on loopback until SIGTERM.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="0 (default): a free one")
    parser.add_argument(
        "--reply", default="echo", metavar="TEXT", help='what it answers; "echo" (default): the question'
    )
    parser.add_argument("--tokens", type=int, metavar="N", help="cut off or fill up the reply to N tokens")
    parser.add_argument("--first", type=float, default=0.0, metavar="SECONDS", help="before the first token (0)")
    parser.add_argument(
        "--interval", type=float, default=0.02, metavar="SECONDS", help="between tokens (0.02); 0: at once"
    )
    parser.add_argument(
        "--model", type=_model, action="append", metavar="NAME[=DAY]", help="one to list, with the day it is shut down"
    )
    parser.add_argument(
        "--no-validate", dest="validate", action="store_false", help="do not hold traffic against OpenAI's description"
    )
    return parser


def _model(text: str) -> tuple[str, str | None]:
    name, _, day = text.partition("=")
    return name, day or None


if __name__ == "__main__":
    main()
