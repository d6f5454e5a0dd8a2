"""The Assistants protocol: assistants, threads, messages and runs, for the servers that still speak it.

engine.py       one run: in which thread, begun or found again, followed to its end
api.py          the requests
objects.py      the objects, as far as they are read
"""

from __future__ import annotations

from server.assistant.threads.engine import ThreadsEngine

__all__ = ["ThreadsEngine"]
