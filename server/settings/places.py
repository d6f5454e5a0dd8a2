"""Where the server is, and where it keeps things."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from server.settings.kinds import Url

SHORTEST_SECRET = 32
DIALECTS = {"sqlite", "mysql", "mariadb", "postgresql"}


class PlaceSettings(BaseSettings):
    """One process, or one of many."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    public_url: Url = Field("", description="how the world reaches this server, e.g. https://chat.example.com")
    stage: str = Field("dev", pattern=r"^[A-Za-z0-9_-]+$", description="second path of the socket: /<STAGE>")
    data_dir: Path = Field(Path(".data"), description="folder of everything that this server keeps")
    backend: Literal["sql", "aws", "memory"] = Field(
        "sql", description="where conversations live: a database, DynamoDB, or memory, which forgets them"
    )
    database_url: SecretStr = Field(
        SecretStr(""), description="SQLite, MySQL or PostgreSQL; unset: a SQLite file in DATA_DIR"
    )
    aws_region: str = Field("", description="e.g. eu-west-1; unset: as the AWS profile says")
    aws_endpoint_url: Url = Field("", description="an emulator instead of AWS")
    table_name: str = Field("", description="DynamoDB table of BACKEND=aws")
    bucket_name: str = Field("", description="S3 bucket of files; unset: the folder of FILES_DIR")
    files_dir: Path | None = Field(
        None, description="folder of files, which processes of several hosts have to share; unset: DATA_DIR/files"
    )
    queue_url: Url = Field("", description="SQS FIFO queue that wakes workers; unset: those of this process only")

    start_seconds: float = Field(
        20, ge=0, description="how long a start waits for a database, table, queue or bucket that does not answer"
    )

    restored: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,32}$",
        description="something new, e.g. the date, after a backup was put back: clients are shown all anew",
    )

    node_url: Url = Field(
        "", description="of many processes: where the others reach this one, e.g. http://10.0.0.5:8000"
    )
    cluster_secret: SecretStr = Field(
        SecretStr(""), description="what they know each other by; the same in all, 32 characters or more"
    )
    peer_window_ms: float = Field(
        40, ge=0, le=1000, description="what follows within it goes to another process together"
    )

    @field_validator("database_url")
    @classmethod
    def is_database(cls, url: SecretStr) -> SecretStr:
        dialect = url.get_secret_value().partition(":")[0].partition("+")[0]
        if dialect and dialect not in DIALECTS:
            raise ValueError("names no known database; begin it with sqlite:///, mysql:// or postgresql://")
        return url

    @model_validator(mode="after")
    def is_kept(self) -> Self:
        if self.backend == "aws" and not self.table_name:
            raise ValueError("TABLE_NAME is missing; BACKEND=aws keeps everything in that DynamoDB table")
        return self

    @model_validator(mode="after")
    def is_cluster(self) -> Self:
        secret = self.cluster_secret.get_secret_value()
        if self.node_url and not secret:
            raise ValueError("CLUSTER_SECRET is missing; a process of a cluster needs NODE_URL and CLUSTER_SECRET")
        if self.node_url and self.backend != "aws" and not self.shares_database:
            raise ValueError(
                "NODE_URL without a store for many processes; set DATABASE_URL (MySQL, PostgreSQL), or BACKEND=aws"
            )
        if secret and len(secret) < SHORTEST_SECRET:
            raise ValueError(
                f"CLUSTER_SECRET is short; take at least {SHORTEST_SECRET} characters, e.g. of `openssl rand -hex 32`"
            )
        return self

    @property
    def shares_database(self) -> bool:
        url = self.database_url.get_secret_value()
        return self.backend == "sql" and bool(url) and not url.startswith("sqlite")

    @property
    def database_file(self) -> Path | None:
        """The SQLite file in DATA_DIR, where that is the store."""
        ours = self.backend == "sql" and not self.database_url.get_secret_value()
        return self.data_dir.absolute() / "switchboard.db" if ours else None

    @property
    def database(self) -> str:
        """With its password."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.data_dir.absolute() / 'switchboard.db'}"
