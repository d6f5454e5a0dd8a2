"""Sockets in great numbers, by the cheapest client there is."""

from __future__ import annotations

import asyncio


async def greeted(port: int, token: str) -> asyncio.StreamWriter:
    """A socket with its first frame read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /ws?Auth={token} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        assert b"connected" in await reader.readuntil(b'"historyLimit":100}}')
    return writer
