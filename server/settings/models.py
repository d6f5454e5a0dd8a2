"""The model provider, and what an assistant may do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from server.settings.kinds import Url
from server.settings.places import PlaceSettings


class ModelSettings(PlaceSettings):
    """Who answers, and how."""

    openai_api_key: SecretStr = Field(
        SecretStr(""), description="unset, and no other provider named: the offline demo model"
    )
    openai_base_url: Url = Field("", description="any server that speaks OpenAI's Responses API")
    openai_model: str = Field("gpt-6-luna", description="model at the provider")
    azure_openai_endpoint: Url = Field("", description="Azure OpenAI instead, e.g. https://name.openai.azure.com")
    azure_openai_key: SecretStr = Field(SecretStr(""), description="key of the Azure resource")
    azure_openai_model: str = Field("", description="name of the deployment there")
    azure_openai_api_version: str = Field("", description="a dated API version; unset: Azure's v1 endpoint")
    local_llm_gguf: Path | None = Field(
        None, description="a GGUF file to use as the offline model, which is shown 1024 tokens and says 256 at most"
    )
    assistant_id: str = Field("assistant", description="whom sockets talk to: name, name@stage or name@version")
    engine: Literal["responses", "threads"] = Field(
        "responses", description="threads: the Assistants protocol, for servers that still speak it"
    )
    run_mode: Literal["stream", "background"] = Field(
        "stream", description="background: polled, whole replies, as phones get them in any case where the provider can"
    )
    openai_background: bool | None = Field(
        None, description="whether the provider has background runs; unset: by its host"
    )
    response_timeout_in_seconds: float = Field(120, gt=0, le=3600, description="deadline of a run")
    provider_silence_in_seconds: float = Field(60, gt=0, description="a provider that says nothing for so long is gone")
    context_tokens: int = Field(
        32_000, ge=512, description="how much of a conversation's last 850 entries the model is shown; 512 or more"
    )
    max_output_tokens: int = Field(2_048, ge=16, description="longest reply of the model")
    tool_rounds: int = Field(8, ge=1, description="how often a reply may stop for tools")
    tool_calls: int = Field(32, ge=1, description="how many tools may be used for a reply")
    inventory_url: Url = Field("", description="shop that the assistant can look into; unset: that tool is not there")
    openai_image_model: str = Field(
        "gpt-image-2.5-flare", description="model that makes pictures; none: no pictures. On Azure, name the deployment"
    )
    openai_image_size: str = Field(
        "1024x1024", pattern=r"^(auto|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})$", description="WIDTHxHEIGHT of a picture"
    )
    openai_image_quality: Literal["auto", "low", "medium", "high", "xhigh", "max"] = Field(
        "medium", description="of a picture, as the model knows it; dearer with each step"
    )
    image_timeout_in_seconds: float = Field(90, gt=0, le=600, description="longest making of a picture")
    images_at_once: int = Field(4, ge=1, description="pictures made at the same time by this process")
    images_per_day: int = Field(20, ge=0, description="new pictures per person and day; 0: no limit")
    image_url_seconds: int = Field(
        3600, ge=1, le=7 * 24 * 3600, description="how long a link to a picture is good; at most a week"
    )
    poll_first_seconds: float = Field(0.75, gt=0, description="until a background run is first asked about")
    poll_factor: float = Field(1.15, ge=1, le=4, description="by which each pause grows")
    poll_cap_seconds: float = Field(4, gt=0, description="longest pause")
    poll_late_cap_seconds: float = Field(10, gt=0, description="longest pause after two minutes")
    poll_jitter: float = Field(0.1, ge=0, lt=1, description="part by which a pause differs at random")
    poll_adaptive: bool = Field(True, description="learn the pauses from an assistant's last runs")
    polls_per_second: float = Field(50, gt=0, description="over all runs of this process")

    @model_validator(mode="after")
    def is_model(self) -> Self:
        if self.azure_openai_endpoint and not self.azure_openai_model:
            raise ValueError(
                "AZURE_OPENAI_MODEL is missing; it is the name of your deployment at AZURE_OPENAI_ENDPOINT"
            )
        if self.assistant_id.startswith("asst_") and self.engine != "threads":
            raise ValueError("ASSISTANT_ID names an object at the provider; those are used by ENGINE=threads only")
        if self.engine == "threads" and self.is_openai:
            raise ValueError(
                "ENGINE=threads needs a server that speaks the Assistants protocol, which api.openai.com and Azure shut"
                " down on 2026-08-26; set OPENAI_BASE_URL to one that does, or ENGINE=responses"
            )
        return self

    @property
    def uses_embedded_model(self) -> bool:
        return not (self.openai_api_key.get_secret_value() or self.openai_base_url or self.azure_openai_endpoint)

    @property
    def model(self) -> str:
        return self.azure_openai_model if self.azure_openai_endpoint else self.openai_model

    @property
    def image_model(self) -> str:
        """Empty where no pictures can be made: our own model makes none, and Azure's deployments have no usual name."""
        unnamed = bool(self.azure_openai_endpoint) and "openai_image_model" not in self.model_fields_set
        off = self.uses_embedded_model or unnamed or self.openai_image_model == "none"
        return "" if off else self.openai_image_model

    @property
    def is_openai(self) -> bool:
        """OpenAI itself or Azure's OpenAI: what the API's description says holds there."""
        host = urlsplit(self.openai_base_url).hostname or "api.openai.com"
        return bool(self.azure_openai_endpoint) or host == "api.openai.com"

    @property
    def has_background(self) -> bool:
        return self.is_openai if self.openai_background is None else self.openai_background
