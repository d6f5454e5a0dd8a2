"""A socket that is accepted and left alone: all that uvicorn itself takes for one."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from tests.benchmarks.hosting import host


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


if __name__ == "__main__":
    host(app)
