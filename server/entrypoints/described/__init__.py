"""The machine-readable descriptions of the wire, made of the types that the server itself parses with."""

from __future__ import annotations

from server.entrypoints.described.http import OPENAPI, openapi
from server.entrypoints.described.socket import asyncapi

__all__ = ["OPENAPI", "asyncapi", "openapi"]
