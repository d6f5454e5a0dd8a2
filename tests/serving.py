"""The routes of a server for a store of files, on a port of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette

from server.auth.links import Links
from server.entrypoints.files import routes
from server.ports import ServedFiles


@dataclass
class Address:
    url: str
    app: Starlette = field(default_factory=Starlette)

    def shows(self, files: ServedFiles, links: Links) -> None:
        self.app.router.routes[:] = routes(files, links)


@asynccontextmanager
async def serving_files() -> AsyncIterator[Address]:
    port = socket.create_server(("127.0.0.1", 0))
    address = Address(f"http://127.0.0.1:{port.getsockname()[1]}")
    config = uvicorn.Config(address.app, lifespan="off", log_config=None, access_log=False)
    program = uvicorn.Server(config)
    running = asyncio.create_task(program._serve([port]))
    try:
        yield address
    finally:
        program.should_exit = True
        await running
