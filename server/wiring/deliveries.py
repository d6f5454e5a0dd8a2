"""What is said, out to sockets: here, and in other processes."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from server.channels import websocket
from server.delivery.cluster import Cluster
from server.delivery.connection import Connection
from server.delivery.hub import Hub
from server.delivery.router import Router
from server.delivery.tenure import Tenure
from server.metrics import Metrics
from server.model import Frame
from server.settings import Settings
from server.wiring.clusters import open_cluster
from server.wiring.files import Shelf
from server.wiring.stores import Store


@dataclass(frozen=True)
class Deliveries:
    hub: Hub
    cluster: Cluster | None
    router: Router
    tenure: Tenure


async def open_deliveries(
    settings: Settings, store: Store, shelf: Shelf, metrics: Metrics, stack: AsyncExitStack
) -> Deliveries:
    hub = Hub(metrics)
    cluster = await open_cluster(settings, hub, store, metrics, stack)
    encode = partial(websocket.encode, sign=shelf.sign)
    router = Router(cluster or hub, cluster or hub, encode, window=settings.delta_window_ms / 1000)
    tenure = Tenure(hub, store, expiring, time.time)
    await tenure.look()
    return Deliveries(hub, cluster, router, tenure)


def expiring(connection: Connection) -> Frame:
    return websocket.token_expiring(connection.who.expires_at_seconds)
