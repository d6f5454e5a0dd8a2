"""Which model answers, and how it is asked."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

import openai

from server.assistant.client import connect, connect_azure
from server.assistant.limits import Limits
from server.assistant.local_model import LocalModel, find_gguf
from server.assistant.polling.bucket import TokenBucket
from server.assistant.polling.clock import MonotonicClock
from server.assistant.polling.durations import Learning
from server.assistant.polling.pacing import Adaptive, Backoff, Exponential
from server.assistant.polling.poller import Poller, Watch
from server.assistant.responses import Abilities, ResponsesEngine
from server.assistant.threads import ThreadsEngine
from server.assistant.tools.toolbox import Tools
from server.metrics import Metrics
from server.ports import Engine
from server.settings import Settings

# It reads some 200 tokens a second: a longer memory would be paid for before each first word.
LOCAL_CONTEXT_TOKENS = 1024
LOCAL_OUTPUT_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Provider:
    """`model` is named for people. `client`: where models can be asked for by the names they have in settings; not for
    our own model, nor on Azure, where deployments have names that its list of models does not know.
    """

    engine: Engine
    client: openai.AsyncOpenAI | None
    model: str


async def open_provider(settings: Settings, tools: Tools, metrics: Metrics, stack: AsyncExitStack) -> Provider:
    if settings.uses_embedded_model:
        return await open_embedded_model(settings, tools, metrics, stack)
    client = await stack.enter_async_context(connect_provider(settings))
    engine = make_engine(settings, client, tools, metrics)
    return Provider(
        engine, None if settings.azure_openai_endpoint else client, f"{settings.model} at {client.base_url.host}"
    )


def make_engine(settings: Settings, client: openai.AsyncOpenAI, tools: Tools, metrics: Metrics) -> Engine:
    poller = make_poller(settings, metrics)
    limits = Limits(settings.model, settings.context_tokens, settings.max_output_tokens)
    if settings.engine == "threads":
        return ThreadsEngine(client, tools, poller, limits)
    abilities = Abilities(background=settings.has_background, reasoning=settings.is_openai)
    return ResponsesEngine(client, tools, poller, limits, abilities)


def connect_provider(settings: Settings) -> openai.AsyncOpenAI:
    silence = settings.provider_silence_in_seconds
    if settings.azure_openai_endpoint:
        key = settings.azure_openai_key.get_secret_value()
        return connect_azure(
            settings.azure_openai_endpoint, key, settings.azure_openai_api_version, silence_seconds=silence
        )
    key = settings.openai_api_key.get_secret_value() or "none"
    return connect(settings.openai_base_url or None, key, silence_seconds=silence)


async def open_embedded_model(settings: Settings, tools: Tools, metrics: Metrics, stack: AsyncExitStack) -> Provider:
    model = await stack.enter_async_context(
        LocalModel(settings.local_llm_gguf or find_gguf(), log_file=settings.data_dir / "local_model.log")
    )
    client = await stack.enter_async_context(
        connect(model.base_url, model.api_key, silence_seconds=settings.provider_silence_in_seconds)
    )
    limits = Limits(
        model.name,
        min(LOCAL_CONTEXT_TOKENS, model.window_tokens),
        min(settings.max_output_tokens, LOCAL_OUTPUT_TOKENS),
    )
    engine = ResponsesEngine(client, tools, make_poller(settings, metrics), limits, Abilities())
    return Provider(engine, None, model.name)


def make_poller(settings: Settings, metrics: Metrics) -> Poller:
    backoff = Backoff(
        first_seconds=settings.poll_first_seconds,
        factor=settings.poll_factor,
        cap_seconds=settings.poll_cap_seconds,
        late_cap_seconds=settings.poll_late_cap_seconds,
    )

    def report(watch: Watch) -> None:
        metrics.polls.observe(watch.polls)
        metrics.poll_faults.inc(watch.faults)
        if watch.lag is not None:
            metrics.poll_lag.observe(watch.lag)

    clock = MonotonicClock()
    pacing = Adaptive(backoff, Learning()) if settings.poll_adaptive else Exponential(backoff)
    bucket = TokenBucket(settings.polls_per_second, clock, burst=max(1, int(settings.polls_per_second)))
    return Poller(pacing, bucket, clock, Random(), jitter=settings.poll_jitter, report=report)  # noqa: S311
