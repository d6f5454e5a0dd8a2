"""The HTTP routes as a running server describes them, held against what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import httpx2
import jsonschema_rs
from starlette.routing import compile_path

Json: TypeAlias = dict[str, Any]

# Of how bytes are sent, not of what is answered.
FRAMING = {"content-length", "content-type", "transfer-encoding", "connection", "date", "server"}
DOCUMENT = "application/json"


class Description:
    """`seen`: the operations whose answers were held against it, with the status of each."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self.seen: set[tuple[str, str, str]] = set()
        # Those without a parameter first: each names itself, and may look like a value of another's.
        self._paths = [(path, compile_path(as_route(path))[0]) for path in sorted(document["paths"], key=len)]

    def operations(self) -> Iterator[tuple[str, str]]:
        for path, methods in self._document["paths"].items():
            for method in methods:
                yield path, method

    def faults(self, answered: httpx2.Response) -> Iterator[str]:
        """What is otherwise than described."""
        method, path = answered.request.method.lower(), answered.request.url.path
        template = next((one for one, pattern in self._paths if pattern.fullmatch(path)), None)
        operation = self._document["paths"].get(template, {}).get(method)
        where = f"{method} {path} {answered.status_code}"
        if operation is None:
            yield f"{where}: no such operation"
            return
        self.seen.add((str(template), method, str(answered.status_code)))
        response = operation["responses"].get(str(answered.status_code))
        if response is None:
            yield f"{where}: no such status"
            return
        for fault in (*self._body(response, answered), *headers(response, answered)):
            yield f"{where}: {fault}"

    def _body(self, response: Json, answered: httpx2.Response) -> Iterable[str]:
        content = response.get("content")
        if content is None:
            return ["it has a body"] if answered.content else []
        media = answered.headers.get("content-type", "").partition(";")[0]
        if media not in content:
            return [f"{media} is not described"]
        if media != DOCUMENT or "schema" not in content[media]:
            return []
        schema = {**content[media]["schema"], "components": self._document["components"]}
        return [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(answered.json())]


def headers(response: Json, answered: httpx2.Response) -> Iterator[str]:
    described = {name.lower(): one for name, one in response.get("headers", {}).items()}
    for name in set(answered.headers) - FRAMING - set(described):
        yield f"the header {name} is not described"
    for name, one in described.items():
        if one["required"] and name not in answered.headers:
            yield f"the header {name} is missing"


def as_route(path: str) -> str:
    """Names and keys have slashes in them."""
    return path.replace("}", ":path}")


async def description_of(url: str) -> Description:
    async with httpx2.AsyncClient(base_url=url) as http:
        return Description((await http.get("/openapi.json")).json())
