"""Uvicorn's protocols, with what a server that promises bounds needs of the transport beneath ASGI.

ASGI has no way to write without waiting, to see how much a client has not read, or to end a socket whose client does
not read; and a client that connects and says nothing would keep its connection for ever.
"""

from __future__ import annotations

import asyncio
import http
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from server.entrypoints import schemas

EXTENSION = "switchboard.wire"
ABORT = "switchboard.abort"
CLOSE_SECONDS = 2.0
NO_PONG = 4409
REFUSAL = "This is no WebSocket handshake; use a WebSocket client."


class Handshake(ServerProtocol):
    """Who is refused is not shown the headers in question, as the library would: a token may be among them."""

    def reject(self, status: http.HTTPStatus | int, text: str) -> Response:  # noqa: ARG002
        error = schemas.error("bad_handshake", REFUSAL, schemas.request_id())
        refusal = super().reject(status, schemas.encode(error).decode())
        del refusal.headers["Content-Type"]
        refusal.headers["Content-Type"] = "application/json"
        return refusal


class SocketProtocol(WebSocketsSansIOProtocol):
    """Implements `delivery.connection.Wire`; applications find it in their scope's extensions."""

    def __init__(self, config: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self.conn = Handshake(max_size=config.ws_max_size, logger=self.logger)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[EXTENSION] = self

    def accept(self, subprotocol: str | None) -> None:
        """As the ASGI message does, but the answer goes out together with what is written first."""
        if self.transport.is_closing():
            return
        answer = self.response.headers
        del answer["Date"]
        answer.update((name.decode("latin-1"), value.decode("latin-1")) for name, value in self.default_headers)
        if subprotocol is not None:
            answer["Sec-WebSocket-Protocol"] = subprotocol
        self.handshake_complete = True
        self.conn.send_response(self.response)
        self.start_keepalive()

    def forget_handshake(self) -> None:
        """The token among it."""
        self.scope["headers"] = []
        self.scope["query_string"] = b""
        del self.request, self.response

    def write(self, data: bytes) -> None:
        if self.close_sent or self.transport.is_closing():
            return
        try:
            self.conn.send_text(data)
        except InvalidState:
            return
        self.transport.write(b"".join(self.conn.data_to_send()))

    def unread(self) -> int:
        return self.transport.get_write_buffer_size()

    def close(self, code: int, reason: str) -> None:
        if self.close_sent or self.transport.is_closing():
            return
        try:
            self.conn.send_close(code, reason)
        except InvalidState:
            # In the middle of the handshake, or the client has closed it.
            self.transport.abort()
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def keepalive_timeout(self) -> None:
        self.pong_timer = None
        self.close(NO_PONG, "no pong")

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(CLOSE_SECONDS, self.transport.abort)


class HttpProtocol(HttpToolsProtocol):
    """A client has `head_seconds` for the head of each request, the silence before its first one included.

    Applications find what ends its connection at once, whatever it has not read yet, in their scope's extensions.
    """

    head_seconds = 10.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def on_message_begin(self) -> None:
        self._await_head()
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_came()
        self._deadline = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _head_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


def http_protocol(head_seconds: float) -> type[HttpProtocol]:
    """Uvicorn makes its protocols itself, from a class."""
    return type("HttpProtocol", (HttpProtocol,), {"head_seconds": head_seconds})
