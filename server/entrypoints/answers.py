"""What is answered over HTTP: our values and our errors, as JSON."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from server.entrypoints import schemas
from server.entrypoints.gate import status_of
from server.errors import ServerError


def answer(content: Any, status: int = 200, headers: Any = None) -> Response:
    return Response(schemas.encode(content), status, headers, "application/json")


def error_body(error: ServerError) -> schemas.ErrorBody:
    return schemas.error(error.code, error.message, schemas.request_id(), retryable=error.retryable)


def refusal(error: ServerError) -> Response:
    return answer(error_body(error), status_of(error), headers_of(error))


def headers_of(error: ServerError) -> dict[str, str]:
    return {} if error.retry_after is None else {"retry-after": str(int(error.retry_after) + 1)}
