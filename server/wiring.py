"""The composition root: settings in, a running server out. Who opens, closes."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout

from server.assistant.definition import ASSISTANT, Definition
from server.assistant.local_model import DEMO_EXAMPLES, DEMO_INSTRUCTIONS, LocalModel, find_gguf
from server.assistant.responses import ResponsesEngine, connect
from server.auth.cognito import CognitoVerifier
from server.auth.keys import JwksKeys
from server.auth.local_pool import LocalUserPool
from server.backends.memory import MemoryBell, MemoryStore
from server.backends.sql import SqlStore, open_sql
from server.channels import websocket
from server.delivery.hub import Hub
from server.delivery.router import Router
from server.errors import ConfigError
from server.inbox.accept import Inbox
from server.inbox.rate import Rate
from server.model import Exchange
from server.ports import Conversations, Engine, Log, Verifier
from server.settings import Settings
from server.turns.runner import Runner
from server.turns.worker import Worker

# It reads some 200 tokens a second: a longer memory would be paid for before each first word.
LOCAL_CONTEXT_TOKENS = 1024
LOCAL_OUTPUT_TOKENS = 256


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
    engine: Engine
    model: str


@asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[Server]:
    """Everything running, the worker included, until the block ends. Raises `ConfigError` when it cannot be."""
    async with AsyncExitStack() as stack:
        verifier, pool = await open_auth(settings, stack)
        store = await open_store(settings, stack)
        engine, model = await open_engine(settings, stack)
        hub, bell = Hub(), MemoryBell()
        router = Router(hub, hub, websocket.encode)
        rate = Rate(settings.messages_per_minute, time.monotonic)
        inbox = Inbox(store, bell, router, rate, most_bytes=settings.message_bytes)
        runner = Runner(store, store, bell, engine, router, deadline_seconds=settings.response_timeout_in_seconds)
        worker = Worker(
            store,
            store,
            bell,
            runner,
            owner=f"{socket.gethostname()}:{os.getpid()}",
            turns=settings.turns,
            lease_seconds=settings.lease_seconds,
        )
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(worker.run())
            yield Server(settings, verifier, pool, store, store, inbox, hub, engine, model)
            working.cancel()


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


async def open_store(settings: Settings, stack: AsyncExitStack) -> SqlStore | MemoryStore:
    if settings.backend == "memory":
        return MemoryStore(lease_seconds=settings.lease_seconds, most_waiting=settings.waiting_per_conversation)
    ours = not settings.database_url.get_secret_value()
    if ours:
        lock_data_dir(settings, stack)
    return await stack.enter_async_context(
        open_sql(
            settings.database,
            sole=ours,
            lease_seconds=settings.lease_seconds,
            most_waiting=settings.waiting_per_conversation,
        )
    )


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
