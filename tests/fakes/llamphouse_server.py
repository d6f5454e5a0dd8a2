"""Agents on LLAMPHouse, a server of the Assistants protocol that is not OpenAI's. Runs under a Python that has it.

/path/to/python tests/fakes/llamphouse_server.py 4120
"""

from __future__ import annotations

import asyncio
import sys

from llamphouse import LLAMPHouse
from llamphouse.core import Agent, Context
from llamphouse.core.adapters import AssistantAPIAdapter


class Echo(Agent):  # type: ignore[misc]
    """Says in two messages what was asked, and how many messages it was shown; slowly, or not at all, if asked to."""

    async def run(self, context: Context) -> None:
        # It is handed the newest first.
        question = max(context.messages, key=lambda message: message.created_at).text
        if question.startswith("slow"):
            await asyncio.sleep(1.5)
        if question.startswith("fail"):
            raise RuntimeError
        shown = len(context.messages)
        await context.insert_message(f"You said: {question}")
        await context.insert_message(f"Shown: {shown}")


if __name__ == "__main__":
    house = LLAMPHouse(agents=[Echo("asst_echo", model="none")], adapters=[AssistantAPIAdapter(prefix="/v1")])
    house.ignite(host="127.0.0.1", port=int(sys.argv[1]))
