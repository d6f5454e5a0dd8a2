"""Everything in this process' memory: for tests, and for a server that may forget."""

from __future__ import annotations

from server.backends.memory.bell import MemoryBell, SilentBell
from server.backends.memory.files import MemoryFiles
from server.backends.memory.store import MemoryStore

__all__ = ["MemoryBell", "MemoryFiles", "MemoryStore", "SilentBell"]
