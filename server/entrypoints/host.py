"""The process: a port, uvicorn, and an end that comes in time."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import structlog
import uvicorn

from server.entrypoints.asgi import build_app
from server.entrypoints.logs import loop_failed
from server.entrypoints.session import FRAME_BYTES
from server.entrypoints.wire import SocketProtocol, http_protocol
from server.errors import ConfigError, Unavailable, leaves
from server.settings import Settings
from server.wiring.server import EVERY_ROLE, Roles, Server, open_server

logger = structlog.get_logger()

PAUSE_SECONDS = 1.0
# For sockets and requests, once the turns have had their time.
GRACE_SECONDS = 4
# More than all that an end may wait for in good order, and less than hosts wait until they kill.
HARD_STOP_SECONDS = 28
BACKLOG = 2048


class Host(uvicorn.Server):
    """Uvicorn, with the signals left to us: its own way would end the process before the store is closed."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def hurry(self) -> None:
        self.should_exit = self.force_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What exists by now stays; the collector need not walk it again while sockets come and go.
        gc.freeze()
        gc.set_threshold(2_000, 50, 1_000)
        gc.enable()
        self._ready()


def run(settings: Settings, ready: Callable[[Server, int], None], roles: Roles = EVERY_ROLE) -> None:
    """Until SIGTERM or Ctrl-C; on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(settings, ready, roles))
    else:
        uvloop.run(serve(settings, ready, roles))


async def serve(settings: Settings, ready: Callable[[Server, int], None], roles: Roles = EVERY_ROLE) -> None:
    """`ready` is called with the port as soon as clients may come."""
    asyncio.get_running_loop().set_exception_handler(loop_failed)
    with contextlib.closing(listen(settings)) as port:
        async with AsyncExitStack() as stack:
            server = await start(settings, roles, stack)
            host = Host(config(server), lambda: ready(server, port.getsockname()[1]))
            # Before anybody is told that it is up: from then on a signal must not end it in the middle of something.
            stop = asyncio.Event()
            on_signals(stop.set)
            async with asyncio.TaskGroup() as tasks:
                ending = tasks.create_task(end(server, host, stop))
                await host.serve(sockets=[port])
                ending.cancel()
    logger.info("stopped")


async def start(settings: Settings, roles: Roles, stack: AsyncExitStack) -> Server:
    """A place that is away for a moment costs time, and not the process: it is often started amid trouble."""
    ends = time.monotonic() + settings.start_seconds
    while True:
        try:
            return await stack.enter_async_context(open_server(settings, roles))
        except (Unavailable, ExceptionGroup) as error:
            found = list(leaves(error))
            if time.monotonic() + PAUSE_SECONDS > ends or not all(isinstance(each, Unavailable) for each in found):
                raise
            logger.warning("start_waits", error="; ".join(map(str, found)), again_in_seconds=PAUSE_SECONDS)
        await asyncio.sleep(PAUSE_SECONDS)


def on_signals(happens: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, happens)


async def end(server: Server, host: Host, stop: asyncio.Event) -> None:
    """On the first signal in good order, on a second at once; and whatever hangs, not later than the hard stop."""
    await stop.wait()
    logger.info("stopping")
    # Not a thread or a task of ours, which what hangs could hold up. Both say where everything hung.
    faulthandler.dump_traceback_later(HARD_STOP_SECONDS, exit=True)
    asyncio.get_running_loop().call_later(HARD_STOP_SECONDS - 1, show_tasks)
    on_signals(host.hurry)
    await server.drain()
    host.should_exit = True


def show_tasks() -> None:
    for task in asyncio.all_tasks():
        task.print_stack(limit=8)


def config(server: Server) -> uvicorn.Config:
    return uvicorn.Config(
        build_app(server),
        interface="asgi3",
        http=http_protocol(server.settings.handshake_seconds),
        ws=SocketProtocol,
        ws_max_size=FRAME_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=server.settings.ping_seconds,
        ws_ping_timeout=server.settings.pong_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=bool(server.settings.trusted_proxies),
        forwarded_allow_ips=list(server.settings.trusted_proxies),
        server_header=False,
    )


def listen(settings: Settings) -> socket.socket:
    """Raises `ConfigError` where the port cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    port = socket.socket(family, socket.SOCK_STREAM)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        port.bind((settings.host, settings.port))
        port.listen(BACKLOG)
    except OSError as error:
        port.close()
        raise ConfigError(
            f"HOST={settings.host} PORT={settings.port} cannot be listened on ({error.strerror}); take another PORT."
        ) from None
    return port
