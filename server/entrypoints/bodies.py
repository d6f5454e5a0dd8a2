"""What a request brings with it, within bounds."""

from __future__ import annotations

from starlette.requests import Request

from server.errors import BadInput


async def body_of(request: Request, most: int) -> bytes:
    """Raises `BadInput` as soon as it is too long, and `ClientDisconnect`."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise too_long(most)
    return bytes(body)


def too_long(most: int) -> BadInput:
    return BadInput(f"The request has more than {most} bytes; shorten it.", code="request_too_long")
