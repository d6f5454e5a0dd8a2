"""The SDK's client, as the engines use it. Retries are the turn runner's business, so it makes none."""

from __future__ import annotations

import httpx2
import openai

CONNECT_SECONDS = 5.0


def connect(base_url: str | None, api_key: str, *, silence_seconds: float) -> openai.AsyncOpenAI:
    """Close it. A provider that says nothing for `silence_seconds` counts as gone."""
    timeout = timeout_of(silence_seconds)
    return openai.AsyncOpenAI(
        base_url=base_url, api_key=api_key, max_retries=0, timeout=timeout, http_client=transport(timeout)
    )


def connect_azure(endpoint: str, api_key: str, api_version: str, *, silence_seconds: float) -> openai.AsyncOpenAI:
    """The same for Azure OpenAI: by a dated `api_version`, or without one through its v1 endpoint."""
    timeout = timeout_of(silence_seconds)
    if not api_version:
        return openai.AsyncOpenAI(
            base_url=f"{endpoint}/openai/v1/",
            api_key=api_key,
            default_headers={"api-key": api_key},
            max_retries=0,
            timeout=timeout,
            http_client=transport(timeout),
        )
    return openai.AsyncAzureOpenAI(
        azure_endpoint=endpoint,
        api_key=api_key,
        api_version=api_version,
        max_retries=0,
        timeout=timeout,
        http_client=transport(timeout),
    )


def timeout_of(silence_seconds: float) -> httpx2.Timeout:
    return httpx2.Timeout(silence_seconds, connect=CONNECT_SECONDS)


def transport(timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    # aiohttp carries a token for half of what the SDK's own transport takes.
    return openai.DefaultAioHttpClient(timeout=timeout)
