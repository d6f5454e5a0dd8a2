"""Where the server is, and as whom one goes there."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from shlex import quote
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import httpx2
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from server.errors import ConfigError
from server.settings import LOOPBACK, Settings, read_settings

TOKEN_VARIABLE = "SWITCHBOARD_TOKEN"  # noqa: S105  The name, not a token.
VISIBLE = re.compile(r"[!-~]+")
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
LABEL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Address:
    """`url`: a socket's; it may hold secrets, and is never shown. `start`: what starts its server, if it is here."""

    url: str
    start: str = ""

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def is_here(self) -> bool:
        return urlsplit(self.url).hostname in LOOPBACK

    async def model(self) -> str:
        """What its health page says that it answers with; nothing if it says nothing."""
        try:
            async with asyncio.timeout(LABEL_SECONDS), httpx2.AsyncClient(trust_env=not self.is_here) as http:
                model = (await http.get(self._page)).json()["model"]
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError, LookupError, TypeError):
            return ""
        return model if isinstance(model, str) else ""

    def complete(self, link: str) -> str:
        """With the server's address, if it has none."""
        parts = urlsplit(self._page)
        host = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        return urljoin(urlunsplit(host), link)

    @property
    def _page(self) -> str:
        parts = urlsplit(self.url)
        return urlunsplit(("https" if parts.scheme == "wss" else "http", parts.netloc, "/", "", ""))


@dataclass(frozen=True, slots=True)
class Identity:
    """`token` makes one, if `renewable` a new one each time. `name`: the person's, where it is known."""

    token: Callable[[], str]
    name: str = ""
    renewable: bool = False


def find_address(given: str | None) -> Address:
    """Raises `ConfigError`."""
    if given is not None:
        address = Address(socket_url(given))
        return replace(address, start="make run") if address.is_here else address
    settings = read_settings()
    return Address(default_url(settings), start_command(settings))


def default_url(settings: Settings) -> str:
    if not settings.port:
        raise ConfigError("PORT=0 may be any port; say which with --url ws://127.0.0.1:PORT/ws.")
    host = EVERYWHERE.get(settings.host, settings.host)
    return f"ws://{f'[{host}]' if ':' in host else host}:{settings.port}/ws"


def start_command(settings: Settings) -> str:
    """The settings that make it this one, too."""
    names = [name for name in ("port", "data_dir") if getattr(settings, name) != Settings.model_fields[name].default]
    return " ".join(["make run", *(f"{name.upper()}={quote(str(getattr(settings, name)))}" for name in names)])


def socket_url(given: str) -> str:
    """Of the server's page, too. Raises `ConfigError`."""
    wrong = ConfigError("--url is no address of a socket; write it like ws://127.0.0.1:8000/ws.")
    if not VISIBLE.fullmatch(given):
        raise wrong
    try:
        parts = urlsplit(given)
        path = parts.path if parts.path.strip("/") else "/ws"
        url = urlunsplit(SplitResult(SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))
        parse_uri(url)
    except (InvalidURI, ValueError, KeyError):
        raise wrong from None
    return url


def find_identity(user: str | None, token: str | None) -> Identity:
    """A token that was given; else a user of the local pool; else a token of the environment; else the user demo.

    Raises `ConfigError` where there is no local pool.
    """
    given = (token or ("" if user else os.environ.get(TOKEN_VARIABLE, ""))).strip()
    if given:
        if not VISIBLE.fullmatch(given):
            raise ConfigError("The token holds what no token does; copy it anew.")
        return Identity(lambda: given)
    from server.wiring.auth import local_pool

    name = user or "demo"
    settings = read_settings()
    local_pool(settings).token(name)
    return Identity(lambda: local_pool(settings).token(name), name, renewable=True)
