"""All the parts, put together and running."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from server.assistant.models import warn_of_models
from server.auth.local_pool import LocalUserPool
from server.backends.sql import SqlBackend
from server.channels import websocket
from server.delivery.cluster import Cluster
from server.delivery.hub import Hub
from server.delivery.mender import Mender
from server.delivery.router import Router
from server.delivery.tenure import Tenure
from server.errors import ConfigError
from server.inbox.accept import Inbox
from server.inbox.phones import PhoneDoor
from server.inbox.reports import Reports
from server.metrics import Metrics
from server.ports import Catalog, Conversations, Directory, Log, Verifier
from server.settings import Settings
from server.turns.erasure import Erasure
from server.turns.worker import Worker
from server.wiring.auth import open_auth
from server.wiring.azure import AzureSms, open_azure_sms
from server.wiring.bells import open_bell
from server.wiring.catalogs import open_catalog
from server.wiring.deliveries import open_deliveries
from server.wiring.doors import make_door
from server.wiring.engines import Provider, open_provider
from server.wiring.files import Shelf, open_files
from server.wiring.media import make_album
from server.wiring.phones import Phones, open_phones
from server.wiring.pictures import open_pictures
from server.wiring.stores import Store, open_store
from server.wiring.tools import open_tools
from server.wiring.twilio import Twilio, open_twilio
from server.wiring.workers import make_inbox, make_worker, name_of

# Clients come back spread over this time.
LATEST_RETURN_MS = 5_000
# For the messages under way when it stops, after the turns: their replies go out while these end.
POST_DRAIN_SECONDS = 3.0


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
    where Cognito makes the tokens, `cluster` where this is the only process, `twilio` and `azure` where they are not
    set up.
    """

    settings: Settings
    roles: Roles
    verifier: Verifier
    pool: LocalUserPool | None
    conversations: Conversations
    directory: Directory
    log: Log
    inbox: Inbox
    hub: Hub
    router: Router
    cluster: Cluster | None
    tenure: Tenure
    worker: Worker
    phones: Phones
    erasure: Erasure
    metrics: Metrics
    catalog: Catalog
    model: str
    door: PhoneDoor
    reports: Reports
    twilio: Twilio | None
    azure: AzureSms | None
    shelf: Shelf
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    drained: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def assistant(self) -> str:
        return self.settings.assistant_id

    def sign(self, key: str) -> str:
        """A link to a file, good for IMAGE_URL_SECONDS from now on; made when it is sent, and never kept."""
        return self.shelf.sign(key)

    async def drain(self) -> None:
        """Let nobody in any more, tell everybody when to come back, and let the turns under way end."""
        self.draining.set()
        for connection in self.hub:
            connection.offer(websocket.disconnecting(random.randrange(LATEST_RETURN_MS)))  # noqa: S311
        await self.worker.drain(self.settings.drain_seconds)
        if self.phones.dispatcher is not None:
            await self.phones.dispatcher.drain(POST_DRAIN_SECONDS)
        # From now on nobody leaves by himself: the whole process does, at once.
        self.drained.set()


@asynccontextmanager
async def open_server(settings: Settings, roles: Roles = EVERY_ROLE) -> AsyncIterator[Server]:
    """Everything running, the worker included, until the block ends. Raises `ConfigError` when it cannot be."""
    if not settings.node_url and (roles != EVERY_ROLE or settings.cluster_secret):
        raise ConfigError(
            "NODE_URL is missing: a process of many needs it and CLUSTER_SECRET; alone it needs neither, but `serve`."
        )
    async with AsyncExitStack() as stack:
        server, store, provider = await put_together(settings, roles, stack)
        async with running(server, store, provider):
            yield server


async def open_ways_to_phones(
    settings: Settings, store: Store, catalog: Catalog, shelf: Shelf, metrics: Metrics, stack: AsyncExitStack
) -> tuple[Twilio | None, AzureSms | None, Phones]:
    twilio = await open_twilio(settings, stack)
    azure = await open_azure_sms(settings, catalog, stack)
    senders = {**(twilio.senders if twilio else {}), **(azure.senders if azure else {})}
    phones = open_phones(settings, store, metrics, owner=name_of(settings), senders=senders, sign=shelf.sign_for_phone)
    return twilio, azure, phones


async def put_together(settings: Settings, roles: Roles, stack: AsyncExitStack) -> tuple[Server, Store, Provider]:
    """From the store up: each part is given those that it works with."""
    verifier, pool = await open_auth(settings, stack)
    store = await open_store(settings, stack)
    bell = await open_bell(settings, stack, turns=roles.turns)
    metrics = Metrics()
    shelf = await open_files(settings, stack)
    pictures = await open_pictures(settings, shelf, store, stack)
    tools = await open_tools(settings, store, stack, pictures)
    provider = await open_provider(settings, tools, metrics, stack)
    catalog = await open_catalog(settings, store)
    out = await open_deliveries(settings, store, shelf, metrics, stack)
    twilio, azure, phones = await open_ways_to_phones(settings, store, catalog, shelf, metrics, stack)
    worker = make_worker(settings, store, bell, catalog, provider, tools, out.router, metrics, phones, pictures)
    inbox = make_inbox(settings, store, bell, out.router, metrics, worker, out.cluster)
    server = Server(
        settings=settings,
        roles=roles,
        verifier=verifier,
        pool=pool,
        conversations=store,
        directory=store,
        log=store,
        inbox=inbox,
        hub=out.hub,
        router=out.router,
        cluster=out.cluster,
        tenure=out.tenure,
        worker=worker,
        phones=phones,
        erasure=Erasure(inbox, conversations=store, log=store, notes=store, engine=provider.engine, files=shelf.files),
        metrics=metrics,
        catalog=catalog,
        model=provider.model,
        door=make_door(settings, store, inbox, make_album(settings, shelf)),
        reports=Reports(store, store, store, time.time),
        twilio=twilio,
        azure=azure,
        shelf=shelf,
    )
    return server, store, provider


@asynccontextmanager
async def running(server: Server, store: Store, provider: Provider) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        at_work = [tasks.create_task(part.run()) for part in parts(server, store)]
        if provider.client is not None:
            at_work.append(tasks.create_task(warn_of_models(provider.client, models_of(server.settings))))
        yield
        for task in at_work:
            task.cancel()


def models_of(settings: Settings) -> set[str]:
    return {settings.model, settings.image_model} - {""}


def parts(server: Server, store: Store) -> list[Part]:
    """What runs for as long as the server does."""
    mender = Mender(server.hub, others=server.cluster is not None)
    return [
        server.router,
        server.tenure,
        mender,
        *([server.worker] if server.roles.turns else []),
        *([server.phones.dispatcher] if server.roles.turns and server.phones.dispatcher else []),
        *([server.cluster] if server.cluster else []),
        *([store] if isinstance(store, SqlBackend) else []),
    ]
