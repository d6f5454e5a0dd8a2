"""The composition root: settings in, a running server out. Who opens, closes."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from filelock import FileLock, Timeout

from server.assistant.definition import ASSISTANT, Definition
from server.assistant.local_model import DEMO_EXAMPLES, DEMO_INSTRUCTIONS, LocalModel, find_gguf
from server.assistant.responses import ResponsesEngine, connect
from server.auth.cognito import CognitoVerifier
from server.auth.keys import JwksKeys
from server.auth.local_pool import LocalUserPool
from server.backends.memory import MemoryBell, MemoryStore
from server.backends.sql import SqlOffice, open_sql
from server.channels import websocket
from server.delivery.hub import Connection, Hub
from server.delivery.router import Router
from server.delivery.tenure import Tenure
from server.errors import ConfigError
from server.inbox.accept import Inbox
from server.inbox.rate import Rate
from server.metrics import Metrics
from server.model import Exchange, Frame
from server.ports import Bell, Conversations, Engine, Log, Verifier
from server.settings import Settings
from server.turns.runner import Runner
from server.turns.worker import Worker

# It reads some 200 tokens a second: a longer memory would be paid for before each first word.
LOCAL_CONTEXT_TOKENS = 1024
LOCAL_OUTPUT_TOKENS = 256
Store: TypeAlias = SqlOffice | MemoryStore
# Clients come back spread over this time.
LATEST_RETURN_MS = 5_000


@dataclass(frozen=True)
class Server:
    """What the entrypoints work with. `model` is named for people; `pool` is None where Cognito makes the tokens."""

    settings: Settings
    verifier: Verifier
    pool: LocalUserPool | None
    conversations: Conversations
    log: Log
    inbox: Inbox
    hub: Hub
    router: Router
    tenure: Tenure
    worker: Worker
    metrics: Metrics
    engine: Engine
    model: str
    draining: asyncio.Event = field(default_factory=asyncio.Event)

    async def drain(self) -> None:
        """Let nobody in any more, tell everybody when to come back, and let the turns under way end."""
        self.draining.set()
        for connection in self.hub:
            connection.offer(websocket.disconnecting(random.randrange(LATEST_RETURN_MS)))  # noqa: S311
        await self.worker.drain(self.settings.drain_seconds)


def expiring(connection: Connection) -> Frame:
    return websocket.token_expiring(connection.who.expires_at_seconds)


@asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[Server]:
    """Everything running, the worker included, until the block ends. Raises `ConfigError` when it cannot be."""
    async with AsyncExitStack() as stack:
        verifier, pool = await open_auth(settings, stack)
        store = await open_store(settings, stack)
        engine, model = await open_engine(settings, stack)
        metrics, bell = Metrics(), MemoryBell()
        hub = Hub(metrics)
        router = Router(hub, hub, websocket.encode, window=settings.delta_window_ms / 1000)
        tenure = Tenure(hub, store, expiring, time.time)
        await tenure.look()
        server = Server(
            settings=settings,
            verifier=verifier,
            pool=pool,
            conversations=store,
            log=store,
            inbox=make_inbox(settings, store, bell, router, metrics),
            hub=hub,
            router=router,
            tenure=tenure,
            worker=make_worker(settings, store, bell, engine, router, metrics),
            metrics=metrics,
            engine=engine,
            model=model,
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part.run()) for part in (server.worker, router, tenure)]
            yield server
            for task in running:
                task.cancel()


def make_inbox(settings: Settings, store: Store, bell: Bell, router: Router, metrics: Metrics) -> Inbox:
    rate = Rate(settings.messages_per_minute, time.monotonic)
    return Inbox(store, bell, router, rate, metrics, most_bytes=settings.message_bytes)


def make_worker(
    settings: Settings, store: Store, bell: Bell, engine: Engine, router: Router, metrics: Metrics
) -> Worker:
    deadline = settings.response_timeout_in_seconds
    runner = Runner(store, store, bell, engine, router, metrics, deadline_seconds=deadline)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    return Worker(store, store, bell, runner, owner=owner, turns=settings.turns, lease_seconds=settings.lease_seconds)


async def open_auth(settings: Settings, stack: AsyncExitStack) -> tuple[Verifier, LocalUserPool | None]:
    if settings.uses_local_pool:
        pool = local_pool(settings)
        return CognitoVerifier(pool.issuer, frozenset({pool.client_id}), pool.keys()), pool
    keys = await stack.enter_async_context(JwksKeys(settings.issuer))
    await keys.hydrate()
    return CognitoVerifier(settings.issuer, frozenset(settings.cognito_client_ids), keys), None


def local_pool(settings: Settings) -> LocalUserPool:
    """Raises `ConfigError` where tokens come from Cognito."""
    if not settings.uses_local_pool:
        raise ConfigError(f"Tokens come from {settings.issuer}; sign in there.")
    return LocalUserPool.open(settings.data_dir)


async def open_store(settings: Settings, stack: AsyncExitStack) -> Store:
    if settings.backend == "memory":
        return MemoryStore(lease_seconds=settings.lease_seconds, most_waiting=settings.waiting_per_conversation)
    ours = not settings.database_url.get_secret_value()
    if ours:
        lock_data_dir(settings, stack)
    return await open_sql_store(settings, stack, sole=ours)


async def open_sql_store(settings: Settings, stack: AsyncExitStack, *, sole: bool) -> SqlOffice:
    return await stack.enter_async_context(
        open_sql(
            settings.database,
            sole=sole,
            lease_seconds=settings.lease_seconds,
            most_waiting=settings.waiting_per_conversation,
        )
    )


@asynccontextmanager
async def open_office(settings: Settings) -> AsyncIterator[Store]:
    """The store alone, beside a server that may be running. Raises `ConfigError` where there is none to share."""
    if settings.backend == "memory":
        raise ConfigError("BACKEND=memory keeps everything inside the server; there is nothing to work on from here.")
    async with AsyncExitStack() as stack:
        yield await open_sql_store(settings, stack, sole=False)


def lock_data_dir(settings: Settings, stack: AsyncExitStack) -> None:
    """The system lets go of the lock when the process ends, however it ends."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(settings.data_dir / "server.lock")
    try:
        stack.enter_context(lock.acquire(timeout=0))
    except Timeout:
        raise ConfigError(
            f"Another server works on DATA_DIR={settings.data_dir}; stop it, or give this one a folder of its own."
        ) from None


async def open_engine(settings: Settings, stack: AsyncExitStack) -> tuple[Engine, str]:
    if settings.uses_embedded_model:
        return await open_embedded_model(settings, stack)
    client = await stack.enter_async_context(
        connect(
            settings.openai_base_url or None,
            settings.openai_api_key.get_secret_value() or "none",
            silence_seconds=settings.provider_silence_in_seconds,
        )
    )
    engine = ResponsesEngine(
        client,
        ASSISTANT,
        model=settings.openai_model,
        context_tokens=settings.context_tokens,
        max_output_tokens=settings.max_output_tokens,
    )
    return engine, f"{settings.openai_model} at {client.base_url.host}"


async def open_embedded_model(settings: Settings, stack: AsyncExitStack) -> tuple[Engine, str]:
    model = await stack.enter_async_context(
        LocalModel(settings.local_llm_gguf or find_gguf(), log_file=settings.data_dir / "local_model.log")
    )
    client = await stack.enter_async_context(
        connect(model.base_url, model.api_key, silence_seconds=settings.provider_silence_in_seconds)
    )
    examples = tuple(Exchange(question, reply) for question, reply in DEMO_EXAMPLES)
    engine = ResponsesEngine(
        client,
        Definition("offline-demo", DEMO_INSTRUCTIONS, examples, temperature=0),
        model=model.name,
        context_tokens=min(LOCAL_CONTEXT_TOKENS, model.window_tokens),
        max_output_tokens=min(settings.max_output_tokens, LOCAL_OUTPUT_TOKENS),
    )
    return engine, model.name
