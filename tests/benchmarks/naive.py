"""What one writes first: a socket, the SDK, its events passed on. Nothing is ordered, checked or kept."""

from __future__ import annotations

import sys

from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from tests.benchmarks.hosting import host


def make_app(client: AsyncOpenAI) -> Starlette:
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        async for asked in websocket.iter_json():
            stream = await client.responses.create(model="gpt-4o", input=asked["message"], stream=True)
            async for event in stream:
                if event.type == "response.output_text.delta":
                    await websocket.send_json({"type": "delta", "text": event.delta})
            await websocket.send_json({"type": "done"})

    return Starlette(routes=[WebSocketRoute("/ws", chat)])


if __name__ == "__main__":
    host(make_app(AsyncOpenAI(base_url=sys.argv[1], api_key="sk-benchmark")))
