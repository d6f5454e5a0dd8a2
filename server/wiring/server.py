"""All the parts, put together and running."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from server.assistant.models import warn_of_models
from server.assistant.tools.toolbox import Tools
from server.auth.local_pool import LocalUserPool
from server.channels import websocket
from server.delivery.cluster import Cluster
from server.delivery.connection import Connection
from server.delivery.hub import Hub
from server.delivery.mender import Mender
from server.delivery.router import Router
from server.delivery.tenure import Tenure
from server.errors import ConfigError
from server.inbox.accept import Inbox, nobody_else
from server.inbox.rate import Rate
from server.metrics import Metrics
from server.model import Frame
from server.ports import Bell, Catalog, Conversations, Log, Verifier
from server.settings import Settings
from server.turns.erasure import Erasure
from server.turns.runner import Runner
from server.turns.speaker import Speaker
from server.turns.worker import Worker
from server.wiring.auth import open_auth
from server.wiring.bells import open_bell
from server.wiring.catalogs import open_catalog
from server.wiring.clusters import open_cluster
from server.wiring.engines import Provider, open_provider
from server.wiring.stores import Store, open_store
from server.wiring.tools import open_tools

# Clients come back spread over this time.
LATEST_RETURN_MS = 5_000
# Where no queue tells of the work that another process accepted.
SWEEP_SECONDS = 1.0


@dataclass(frozen=True)
class Roles:
    """What a process does. All of them serve HTTP."""

    sockets: bool = True
    turns: bool = True


EVERY_ROLE = Roles()


class Part(Protocol):
    async def run(self) -> None: ...


@dataclass(frozen=True)
class Server:
    """What the entrypoints work with. `model` is named for people; `assistant` is whom sockets talk to; `pool` is None
    where Cognito makes the tokens, `cluster` where this is the only process.
    """

    settings: Settings
    roles: Roles
    verifier: Verifier
    pool: LocalUserPool | None
    conversations: Conversations
    log: Log
    inbox: Inbox
    hub: Hub
    router: Router
    cluster: Cluster | None
    tenure: Tenure
    worker: Worker
    erasure: Erasure
    metrics: Metrics
    assistant: str
    catalog: Catalog
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
async def open_server(settings: Settings, roles: Roles = EVERY_ROLE) -> AsyncIterator[Server]:
    """Everything running, the worker included, until the block ends. Raises `ConfigError` when it cannot be."""
    if roles != EVERY_ROLE and not settings.node_url:
        raise ConfigError("One process among many needs NODE_URL and CLUSTER_SECRET; without them, run `serve`.")
    async with AsyncExitStack() as stack:
        verifier, pool = await open_auth(settings, stack)
        store = await open_store(settings, stack)
        bell = await open_bell(settings, stack, turns=roles.turns)
        metrics = Metrics()
        tools = await open_tools(settings, store, stack)
        provider = await open_provider(settings, tools, metrics, stack)
        catalog = await open_catalog(settings, store)
        hub = Hub(metrics)
        cluster = await open_cluster(settings, hub, store, stack)
        router = Router(cluster or hub, cluster or hub, websocket.encode, window=settings.delta_window_ms / 1000)
        tenure = Tenure(hub, store, expiring, time.time)
        await tenure.look()
        server = Server(
            settings=settings,
            roles=roles,
            verifier=verifier,
            pool=pool,
            conversations=store,
            log=store,
            inbox=make_inbox(settings, store, bell, router, cluster, metrics),
            hub=hub,
            router=router,
            cluster=cluster,
            tenure=tenure,
            worker=make_worker(settings, store, bell, catalog, provider, tools, router, metrics),
            erasure=Erasure(store, provider.engine),
            metrics=metrics,
            assistant=settings.assistant_id,
            catalog=catalog,
            model=provider.model,
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part.run()) for part in parts(server)]
            if provider.client is not None:
                running.append(tasks.create_task(warn_of_models(provider.client, {settings.model})))
            yield server
            for task in running:
                task.cancel()


def parts(server: Server) -> list[Part]:
    """What runs for as long as the server does."""
    mender = Mender(server.hub, others=server.cluster is not None)
    return [
        server.router,
        server.tenure,
        mender,
        *([server.worker] if server.roles.turns else []),
        *([server.cluster] if server.cluster else []),
    ]


def make_inbox(
    settings: Settings, store: Store, bell: Bell, router: Router, cluster: Cluster | None, metrics: Metrics
) -> Inbox:
    rate = Rate(settings.messages_per_minute, time.monotonic)
    alert = cluster.alert if cluster else nobody_else
    return Inbox(store, bell, router, rate, metrics, most_bytes=settings.message_bytes, alert=alert)


def make_worker(
    settings: Settings,
    store: Store,
    bell: Bell,
    catalog: Catalog,
    provider: Provider,
    tools: Tools,
    router: Router,
    metrics: Metrics,
) -> Worker:
    engine = provider.engine
    speaker = Speaker(
        store, engine, tools, router, metrics, most_rounds=settings.tool_rounds, most_calls=settings.tool_calls
    )
    runner = Runner(
        store,
        store,
        store,
        bell,
        catalog,
        engine,
        speaker,
        router,
        metrics,
        mode=settings.run_mode,
        deadline_seconds=settings.response_timeout_in_seconds,
    )
    rings_reach_us = settings.queue_url or not settings.node_url
    return Worker(
        store,
        store,
        bell,
        runner,
        owner=settings.node_url or f"{socket.gethostname()}:{os.getpid()}",
        turns=settings.turns,
        lease_seconds=settings.lease_seconds,
        **({} if rings_reach_us else {"sweep_seconds": SWEEP_SECONDS}),
    )
