"""An ASGI application on uvicorn, with the options of our own server, on a free port that it prints."""

from __future__ import annotations

import socket

import uvicorn
from starlette.types import ASGIApp

PING_SECONDS = 25
PONG_SECONDS = 10
BACKLOG = 2048


def host(app: ASGIApp) -> None:
    """Until SIGTERM."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as port:
        print(f"READY {port.getsockname()[1]}", flush=True)
        uvicorn.Server(config(app)).run(sockets=[port])


def config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
