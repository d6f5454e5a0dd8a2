"""The requests of the Assistants protocol.

The SDK's own methods for them are deprecated and build objects that nobody here reads; its transport, keys and errors
are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

import httpx2
import openai

from server.assistant.faults import provider_errors
from server.assistant.polling.hints import poll_after
from server.assistant.polling.poller import Poll
from server.assistant.threads.objects import Message, MessagePage, Run, RunPage, Thread, decode
from server.errors import NotFound, ProviderFailed

HEADERS = {"OpenAI-Beta": "assistants=v2"}
# The protocol's limit for one request that creates a thread.
MOST_MESSAGES = 32
PAGE = 100
UNLISTED = {404, 405, 501}
NEWEST = 20
NOT_SERVED = (
    "This server does not serve Assistants threads (OpenAI shut its own down on 2026-08-26); set ENGINE=responses or"
    " another OPENAI_BASE_URL."
)

P = TypeVar("P", RunPage, MessagePage)


class ThreadsApi:
    """A handle is "<thread>/<run>". `NotFound`: there is no such thread, or run."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    # --- threads ---

    async def create_thread(self, messages: Sequence[dict[str, Any]]) -> str:
        """Of at most `MOST_MESSAGES`."""
        try:
            with provider_errors(asks_for="threads"):
                body = await self._post("/threads", {"messages": messages})
        except NotFound:
            raise ProviderFailed(NOT_SERVED, code="threads_not_served") from None
        return decode(body, Thread).id

    async def has_thread(self, thread: str) -> bool:
        try:
            with provider_errors(asks_for="thread"):
                await self._get(f"/threads/{thread}")
        except NotFound:
            return False
        return True

    async def delete_thread(self, thread: str) -> None:
        """One that is gone already is no error."""
        with suppress(NotFound), provider_errors(asks_for="thread"):
            await self._client.delete(f"/threads/{thread}", cast_to=httpx2.Response, options={"headers": HEADERS})

    # --- messages ---

    async def add_message(self, thread: str, message: dict[str, Any]) -> None:
        with provider_errors(asks_for="thread"):
            await self._post(f"/threads/{thread}/messages", message)

    async def newest_messages(self, thread: str) -> list[Message]:
        return (await self._newest(f"/threads/{thread}/messages", MessagePage)).data

    async def messages_of(self, handle: str) -> list[Message]:
        """All that the run said, in that order."""
        thread, _, run = handle.partition("/")
        query: dict[str, Any] = {"order": "asc", "limit": PAGE, "run_id": run}
        said: list[Message] = []
        while True:
            with provider_errors(asks_for="thread"):
                page = decode((await self._get(f"/threads/{thread}/messages", query)).content, MessagePage)
            # Not every server heeds `run_id`.
            said += [message for message in page.data if message.role == "assistant" and message.run_id == run]
            if not page.has_more or not page.data:
                return said
            query["after"] = page.data[-1].id

    # --- runs ---

    async def create_run(self, thread: str, request: dict[str, Any]) -> Run:
        """Raises the SDK's errors: what went wrong tells whether there may be a run all the same."""
        return decode(await self._post(f"/threads/{thread}/runs", request), Run)

    async def newest_runs(self, thread: str) -> list[Run]:
        return (await self._newest(f"/threads/{thread}/runs", RunPage)).data

    async def look(self, handle: str) -> Poll[Run]:
        with provider_errors(asks_for="run"):
            response = await self._get(path_of(handle))
        run = decode(response.content, Run)
        return Poll(run.status, run, poll_after(response.headers))

    async def submit(self, handle: str, outputs: list[dict[str, str]]) -> None:
        """One that does not wait for them any more is no error."""
        with provider_errors(asks_for="run"):
            try:
                await self._post(f"{path_of(handle)}/submit_tool_outputs", {"tool_outputs": outputs})
            except openai.BadRequestError:
                if (await self.look(handle)).status == "requires_action":
                    raise

    async def cancel(self, handle: str) -> None:
        """One that is over, being cancelled or gone is no error."""
        with suppress(NotFound), provider_errors(asks_for="run"), suppress(openai.BadRequestError):
            await self._post(f"{path_of(handle)}/cancel", {})

    async def _newest(self, path: str, kind: type[P]) -> P:
        """The newest first; nothing where the server lists nothing, or the thread is gone."""
        with provider_errors():
            try:
                response = await self._get(path, {"order": "desc", "limit": NEWEST})
            except openai.APIStatusError as error:
                if error.status_code in UNLISTED:
                    return kind()
                raise
        return decode(response.content, kind)

    async def _get(self, path: str, query: dict[str, Any] | None = None) -> httpx2.Response:
        return await self._client.get(
            path, cast_to=httpx2.Response, options={"headers": HEADERS, "params": query or {}}
        )

    async def _post(self, path: str, body: dict[str, Any]) -> bytes:
        response = await self._client.post(path, cast_to=httpx2.Response, body=body, options={"headers": HEADERS})
        return response.content


def path_of(handle: str) -> str:
    thread, _, run = handle.partition("/")
    return f"/threads/{thread}/runs/{run}"
