"""The environment and `.env`, read once, frozen. Every setting has its meaning beside it; secrets never print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)

from server.errors import ConfigError

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
SHORTEST_SECRET = 32
DIALECTS = {"sqlite", "mysql", "mariadb", "postgresql"}


def words(text: Any) -> Any:
    return tuple(word.strip() for word in text.split(",") if word.strip()) if isinstance(text, str) else text


Words = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Field names are the environment's names in lower case."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    public_url: str = Field("", description="how the world reaches this server, e.g. https://chat.example.com")
    stage: str = Field("dev", pattern=r"^[A-Za-z0-9_-]+$", description="second path of the socket: /<STAGE>")
    data_dir: Path = Field(Path(".data"), description="folder of everything that this server keeps")
    backend: Literal["sql", "aws", "memory"] = Field(
        "sql", description="where conversations live: a database, DynamoDB, or memory, which forgets them"
    )
    database_url: SecretStr = Field(
        SecretStr(""), description="SQLite, MySQL or PostgreSQL; unset: a SQLite file in DATA_DIR"
    )
    aws_region: str = Field("", description="e.g. eu-west-1; unset: as the AWS profile says")
    aws_endpoint_url: str = Field("", description="an emulator instead of AWS")
    table_name: str = Field("", description="DynamoDB table of BACKEND=aws")
    queue_url: str = Field("", description="SQS FIFO queue that wakes workers; unset: those of this process only")

    node_url: str = Field(
        "", description="of many processes: where the others reach this one, e.g. http://10.0.0.5:8000"
    )
    cluster_secret: SecretStr = Field(SecretStr(""), description="what they know each other by; the same in all")
    peer_window_ms: float = Field(
        40, ge=0, le=1000, description="what follows within it goes to another process together"
    )

    openai_api_key: SecretStr = Field(SecretStr(""), description="unset: the offline demo model")
    openai_base_url: str = Field("", description="any server that speaks OpenAI's Responses API")
    openai_model: str = Field("gpt-6-luna", description="model at the provider")
    azure_openai_endpoint: str = Field("", description="Azure OpenAI instead, e.g. https://name.openai.azure.com")
    azure_openai_key: SecretStr = Field(SecretStr(""), description="key of the Azure resource")
    azure_openai_model: str = Field("", description="name of the deployment there")
    azure_openai_api_version: str = Field("", description="a dated API version; unset: Azure's v1 endpoint")
    local_llm_gguf: Path | None = Field(None, description="a GGUF file to use as the offline model")
    assistant_id: str = Field("assistant", description="whom sockets talk to: name, name@stage or name@version")
    engine: Literal["responses", "threads"] = Field(
        "responses", description="threads: the Assistants protocol, for servers that still speak it"
    )
    run_mode: Literal["stream", "background"] = Field("stream", description="background: polled, whole replies")
    openai_background: bool | None = Field(
        None, description="whether the provider has background runs; unset: by its host"
    )
    response_timeout_in_seconds: float = Field(120, gt=0, le=3600, description="deadline of a run")
    provider_silence_in_seconds: float = Field(60, gt=0, description="a provider that says nothing for so long is gone")
    context_tokens: int = Field(32_000, ge=512, description="how much of a conversation the model is shown")
    max_output_tokens: int = Field(2_048, ge=16, description="longest reply of the model")
    tool_rounds: int = Field(8, ge=1, description="how often a reply may stop for tools")
    tool_calls: int = Field(32, ge=1, description="how many tools may be used for a reply")
    inventory_url: str = Field("", description="shop that the assistant can look into; unset: that tool is not there")
    poll_first_seconds: float = Field(0.75, gt=0, description="until a background run is first asked about")
    poll_factor: float = Field(1.15, ge=1, le=4, description="by which each pause grows")
    poll_cap_seconds: float = Field(4, gt=0, description="longest pause")
    poll_late_cap_seconds: float = Field(10, gt=0, description="longest pause after two minutes")
    poll_jitter: float = Field(0.1, ge=0, lt=1, description="part by which a pause differs at random")
    poll_adaptive: bool = Field(True, description="learn the pauses from an assistant's last runs")
    polls_per_second: float = Field(50, gt=0, description="over all runs of this process")

    cognito_user_pool_id: str = Field("", description="e.g. eu-west-1_AbCdEf123; unset: the local user pool")
    cognito_client_ids: Words = Field((), description="app clients whose tokens are accepted, comma-separated")
    cognito_issuer_url: str = Field("", description="issuer, where it is not Cognito's own (emulators)")
    allowed_origins: Words = Field((), description="browser origins besides our own, comma-separated")

    message_bytes: int = Field(32 * 1024, ge=1, le=64 * 1024, description="longest message, as UTF-8")
    messages_per_minute: int = Field(60, ge=0, description="per person; 0 is off")
    connections_per_person: int = Field(10, ge=0, description="open sockets of one person; 0 is off")
    connections: int = Field(20_000, ge=1, description="open sockets in all")
    waiting_per_conversation: int = Field(100, ge=1, description="messages that may wait for their answer")
    connection_buffer_bytes: int = Field(1024 * 1024, ge=64 * 1024, description="unread frames kept for a slow reader")
    delta_window_ms: float = Field(25, ge=0, le=1000, description="words that follow within it go out together")
    ping_seconds: float = Field(25, gt=0, description="how often a socket is asked whether it lives")
    pong_seconds: float = Field(10, gt=0, description="how long it may take to answer that")
    handshake_seconds: float = Field(10, gt=0, description="how long a client may take to say what it wants")
    turns: int = Field(256, ge=1, description="conversations answered at the same time")
    drain_seconds: float = Field(10, ge=0, le=15, description="how long turns under way may go on when it stops")
    lease_seconds: float = Field(30, ge=1, le=45, description="how long a silent worker keeps a conversation")

    unsafe_local_user_pool: bool = Field(False, description="true: local user pool although others can reach HOST")
    unsafe_any_origin: bool = Field(False, description="true: ALLOWED_ORIGINS may be *")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what is worth a line")
    log_format: Literal["auto", "pretty", "json"] = Field("auto", description="auto: pretty on a terminal, else JSON")

    split = field_validator("cognito_client_ids", "allowed_origins", mode="before")(words)

    @field_validator(
        "public_url",
        "openai_base_url",
        "azure_openai_endpoint",
        "cognito_issuer_url",
        "inventory_url",
        "aws_endpoint_url",
        "queue_url",
        "node_url",
    )
    @classmethod
    def is_url(cls, url: str) -> str:
        if url and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
            raise ValueError("is no URL; write it like https://example.com")
        return url.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def is_database(cls, url: SecretStr) -> SecretStr:
        dialect = url.get_secret_value().partition(":")[0].partition("+")[0]
        if dialect and dialect not in DIALECTS:
            raise ValueError("names no known database; begin it with sqlite:///, mysql:// or postgresql://")
        return url

    @model_validator(mode="after")
    def is_cluster(self) -> Self:
        secret = self.cluster_secret.get_secret_value()
        if bool(self.node_url) != bool(secret):
            missing = "CLUSTER_SECRET" if self.node_url else "NODE_URL"
            raise ValueError(f"{missing} is missing; a process of a cluster needs NODE_URL and CLUSTER_SECRET")
        if secret and len(secret) < SHORTEST_SECRET:
            raise ValueError(
                f"CLUSTER_SECRET is short; take at least {SHORTEST_SECRET} characters, e.g. of openssl rand"
            )
        return self

    @model_validator(mode="after")
    def is_whole(self) -> Self:
        if self.backend == "aws" and not self.table_name:
            raise ValueError("TABLE_NAME is missing; BACKEND=aws keeps everything in that DynamoDB table")
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
        if self.uses_local_pool and self.cognito_client_ids:
            raise ValueError("COGNITO_CLIENT_IDS without a pool; set COGNITO_USER_POOL_ID too")
        if not self.uses_local_pool and not self.cognito_client_ids:
            raise ValueError("COGNITO_CLIENT_IDS is missing; list the app clients whose tokens you accept")
        if self.cognito_user_pool_id and not self.cognito_issuer_url and "_" not in self.cognito_user_pool_id:
            raise ValueError("COGNITO_USER_POOL_ID has no region; it looks like eu-west-1_AbCdEf123")
        return self

    @model_validator(mode="after")
    def is_safe(self) -> Self:
        if self.uses_local_pool and self.host not in LOOPBACK and not self.unsafe_local_user_pool:
            raise ValueError(
                f"HOST={self.host} lets others reach the local user pool, for which anyone on this machine can make"
                " tokens; set COGNITO_USER_POOL_ID and COGNITO_CLIENT_IDS, or UNSAFE_LOCAL_USER_POOL=true"
            )
        if "*" in self.allowed_origins and not self.unsafe_any_origin:
            raise ValueError("ALLOWED_ORIGINS=* lets any website connect; list the origins, or UNSAFE_ANY_ORIGIN=true")
        return self

    @property
    def uses_local_pool(self) -> bool:
        return not (self.cognito_user_pool_id or self.cognito_issuer_url)

    @property
    def issuer(self) -> str:
        """Cognito's; not for the local user pool, which has its own."""
        region = self.cognito_user_pool_id.partition("_")[0]
        return self.cognito_issuer_url or f"https://cognito-idp.{region}.amazonaws.com/{self.cognito_user_pool_id}"

    @property
    def keys_at(self) -> str:
        """Where the issuer publishes its keys, in `.well-known`. An emulator signs in Cognito's name."""
        emulated = self.aws_endpoint_url and self.cognito_user_pool_id and not self.cognito_issuer_url
        return f"{self.aws_endpoint_url}/{self.cognito_user_pool_id}" if emulated else self.issuer

    @property
    def database(self) -> str:
        """With its password."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.data_dir.absolute() / 'switchboard.db'}"

    @property
    def uses_embedded_model(self) -> bool:
        return not (self.openai_api_key.get_secret_value() or self.openai_base_url or self.azure_openai_endpoint)

    @property
    def model(self) -> str:
        return self.azure_openai_model if self.azure_openai_endpoint else self.openai_model

    @property
    def is_openai(self) -> bool:
        """OpenAI itself or Azure's OpenAI: what the API's description says holds there."""
        host = urlsplit(self.openai_base_url).hostname or "api.openai.com"
        return bool(self.azure_openai_endpoint) or host == "api.openai.com"

    @property
    def has_background(self) -> bool:
        return self.is_openai if self.openai_background is None else self.openai_background


def read_settings(**overrides: Any) -> Settings:
    """Raises `ConfigError` that names each wrong setting, its fault and the fix."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise ConfigError("\n".join(map(fault, error.errors(include_url=False)))) from None


def fault(error: Any) -> str:
    what = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return str(what)
    name = str(error["loc"][0])
    field = Settings.model_fields[name]
    given = "" if is_secret(name) else f"={error['input']}"
    default = "" if field.default in ("", ()) or is_secret(name) else f"; default {field.default}"
    return f"{name.upper()}{given}: {what} ({field.description}{default})"


def is_secret(name: str) -> bool:
    return Settings.model_fields[name].annotation is SecretStr


def origins() -> dict[str, str]:
    """Setting -> `environment` or `.env`, for those that are set there."""
    sources = (("environment", EnvSettingsSource(Settings)), (".env", DotEnvSettingsSource(Settings)))
    found: dict[str, str] = {}
    for origin, source in sources:
        for name in source():
            found.setdefault(name.lower(), origin)
    return found


def listing(settings: Settings) -> list[tuple[str, str, str, str]]:
    """Every setting as (NAME, value, origin, meaning); secrets as stars."""
    known = origins()
    return [
        (name.upper(), shown(getattr(settings, name)), known.get(name, "default"), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def shown(value: Any) -> str:
    match value:
        case tuple():
            return ",".join(value)
        case bool():
            return str(value).lower()
        case None:
            return ""
        case _:
            return str(value)
