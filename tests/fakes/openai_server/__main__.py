"""The fake as a process of its own. Prints one line, ``READY http://127.0.0.1:PORT/v1``, once it listens."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Mapping, Sequence
from typing import Any

import uvicorn

from tests.fakes.openai_server import MODELS, Answer, Call, Choose, openai_server, words

_EPILOG = """\
Any API key is good but "bad-key". A run lasts for --first, and an --interval per token. While it runs:
  POST /_control/script      {"answers": [{"fault": "reset", "at": 2}], "normal": {"interval": 0.1}}: the next
                             requests get these answers, later ones the normal one; a call is
                             {"calls": [{"name": "look", "arguments": {"up": 1}}]}. Beside them: "images",
                             "moderations", "troubles": {"GET /threads/{thread_id}/messages": ["overloaded"]},
                             "assistants_gone"
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
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with openai_server(
        normal=_normal(args),
        models=dict(args.model or MODELS),
        assistants_gone=args.assistants_gone,
        validate=args.validate,
        port=args.port,
    ) as fake:
        print(f"READY {fake.base_url}", flush=True)
        await stopped.wait()


def _normal(args: argparse.Namespace) -> Answer | Choose:
    tokens = None if args.reply == "echo" else words(args.reply)
    reply = Answer(tokens=tokens, length=args.tokens, first_delay=args.first, interval=args.interval)
    if not args.call:
        return reply
    calling = Answer(calls=tuple(args.call), first_delay=args.first, interval=args.interval)
    return lambda body: reply if _brings_outputs(body) else calling


def _brings_outputs(body: Mapping[str, Any]) -> bool:
    asked = body["input"]
    return isinstance(asked, list) and bool(asked) and asked[-1].get("type") == "function_call_output"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fakes.openai_server",
        description="Plays OpenAI's Responses and Assistants APIs on loopback until SIGTERM.",
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
        "--call",
        type=_call,
        action="append",
        metavar="NAME[=JSON]",
        help="a function that it calls first; it replies once it has the output",
    )
    parser.add_argument("--assistants-gone", action="store_true", help="404 to everything under /assistants, /threads")
    parser.add_argument(
        "--model", type=_model, action="append", metavar="NAME[=DAY]", help="one to list, with the day it is shut down"
    )
    parser.add_argument(
        "--no-validate", dest="validate", action="store_false", help="do not hold traffic against OpenAI's description"
    )
    return parser


def _call(text: str) -> Call:
    name, _, arguments = text.partition("=")
    return Call(name, arguments or "{}")


def _model(text: str) -> tuple[str, str | None]:
    name, _, day = text.partition("=")
    return name, day or None


if __name__ == "__main__":
    main()
