"""What goes wrong at the provider, in our words: classified here, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import openai
import structlog

from server.assistant.polling.hints import poll_after
from server.errors import NotFound, ProviderFailed, ServerError, Unavailable

logger = structlog.get_logger()

QUOTA_CODES = {
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
}
# OpenAI's word and llama.cpp's.
CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error"}
# One writer at a time: an earlier run has not let go yet.
LOCKED_CODES = {"conversation_locked"}


def for_operator(message: str, code: str) -> ProviderFailed:
    """A fault that stays until somebody sets the server, or the account, right."""
    logger.error("provider_needs_operator", code=code)
    return ProviderFailed(f"{message} Please tell its operator.", code=code)


def fault_of(code: str | None, retry_after: float | None) -> ServerError:
    """A fault that the provider names, in our words."""
    if code in QUOTA_CODES:
        return for_operator("The assistant is out of budget.", "provider_quota")
    if code == "context_length_exceeded":
        return ProviderFailed("This message is too long for the assistant; shorten it.", code="message_too_long")
    if code in {None, "server_error", "rate_limit_exceeded", "slow_down", "vector_store_timeout"}:
        return Unavailable("The assistant is busy. Please try again.", code="provider_busy", retry_after=retry_after)
    return ProviderFailed("The assistant could not answer this.", code="provider_refused")


@contextmanager
def provider_errors(*, asks_for: str = "") -> Iterator[None]:
    """OpenAI's and its transport's errors in our words. Theirs quote the request, so they are never shown or logged.

    `asks_for`: an object that was there; `NotFound` when it is gone.
    """
    try:
        yield
    except openai.NotFoundError as error:
        if asks_for:
            raise NotFound(f"The provider has no {asks_for} of this name any more.") from None
        raise status_error(error) from None
    except openai.APIStatusError as error:
        raise status_error(error) from None
    except (openai.APIConnectionError, httpx2.TransportError) as error:
        logger.warning("provider_unreachable", kind=type(error).__name__)
        raise Unavailable("The assistant cannot be reached. Please try again.", code="provider_unreachable") from None


def status_error(error: openai.APIStatusError) -> ServerError:
    status, words = error.status_code, {error.code, error.type}
    logger.warning("provider_refused", status=status, code=error.code, kind=error.type, request=error.request_id)
    match status:
        case 429 if words & QUOTA_CODES:
            return fault_of("insufficient_quota", None)
        case 408 | 409 | 429:
            return fault_of(None, poll_after(error.response.headers))
        case 401 | 403:
            return for_operator("The assistant is not set up.", "provider_key")
        case 404:
            return for_operator("The assistant's model is unknown.", "unknown_model")
        case _ if status >= 500 or words & LOCKED_CODES:
            return fault_of(None, poll_after(error.response.headers))
        case _ if words & CONTEXT_CODES:
            return fault_of("context_length_exceeded", None)
        case _:
            return ProviderFailed("The assistant could not answer this.", code="provider_refused")
