"""Where messages come in, and who answers them."""

from __future__ import annotations

import os
import socket
import time

from server.assistant.pictures import Pictures
from server.assistant.tools.toolbox import Tools
from server.delivery.cluster import Cluster
from server.delivery.router import Router
from server.inbox.accept import Inbox
from server.inbox.rate import Rate
from server.metrics import Metrics
from server.ports import Bell, Catalog
from server.settings import Settings
from server.turns.runner import Runner
from server.turns.speaker import Speaker
from server.turns.worker import Worker
from server.wiring.engines import Provider
from server.wiring.phones import Phones
from server.wiring.stores import Store

# Where no queue tells of the work that another process accepted.
SWEEP_SECONDS_WITHOUT_QUEUE = 1.0


def make_inbox(
    settings: Settings,
    store: Store,
    bell: Bell,
    router: Router,
    metrics: Metrics,
    worker: Worker,
    cluster: Cluster | None,
) -> Inbox:
    async def look(conversation_id: str) -> None:
        await worker.look(conversation_id)
        if cluster is not None:
            await cluster.alert(conversation_id)

    rate = Rate(settings.messages_per_minute, time.monotonic)
    return Inbox(store, bell, router, rate, metrics, most_bytes=settings.message_bytes, look=look)


def make_worker(
    settings: Settings,
    store: Store,
    bell: Bell,
    catalog: Catalog,
    provider: Provider,
    tools: Tools,
    router: Router,
    metrics: Metrics,
    phones: Phones,
    pictures: Pictures | None,
) -> Worker:
    speaker = Speaker(
        store, provider.engine, tools, router, metrics, most_rounds=settings.tool_rounds, most_calls=settings.tool_calls
    )
    runner = Runner(
        log=store,
        leases=store,
        runs=store,
        bell=bell,
        catalog=catalog,
        engine=provider.engine,
        speaker=speaker,
        delivery=router,
        metrics=metrics,
        mode=settings.run_mode,
        deadline_seconds=settings.response_timeout_in_seconds,
        post=phones.post,
        painter=pictures,
    )
    rings_reach_us = settings.queue_url or not settings.node_url
    return Worker(
        log=store,
        leases=store,
        bell=bell,
        runner=runner,
        owner=name_of(settings),
        turns=settings.turns,
        lease_seconds=settings.lease_seconds,
        **({} if rings_reach_us else {"sweep_seconds": SWEEP_SECONDS_WITHOUT_QUEUE}),
    )


def name_of(settings: Settings) -> str:
    """This process, for those who look who works on what."""
    return settings.node_url or f"{socket.gethostname()}:{os.getpid()}"
