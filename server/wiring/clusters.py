"""This process among others."""

from __future__ import annotations

from contextlib import AsyncExitStack

from server.backends.peers import open_peers
from server.channels import websocket
from server.delivery.cluster import Cluster
from server.delivery.hub import Hub
from server.metrics import Metrics
from server.settings import Settings
from server.wiring.stores import Store


async def open_cluster(
    settings: Settings, hub: Hub, store: Store, metrics: Metrics, stack: AsyncExitStack
) -> Cluster | None:
    """None where it is the only one."""
    if not settings.node_url:
        return None
    window = settings.peer_window_ms / 1000
    peers = open_peers(settings.cluster_secret.get_secret_value(), store.unregister, metrics, window=window)
    nodes = await stack.enter_async_context(peers)
    cluster = Cluster(settings.node_url, hub, store, store, nodes, websocket.disconnecting)
    await cluster.begin()
    stack.push_async_callback(cluster.end)
    return cluster
