"""The other processes, over HTTP."""

from __future__ import annotations

from server.backends.peers.peers import Peers, open_peers

__all__ = ["Peers", "open_peers"]
