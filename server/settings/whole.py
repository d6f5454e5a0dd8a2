"""All settings together, and how they are told of."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from server.errors import ConfigError
from server.settings.kinds import LOOPBACK
from server.settings.phones import PhoneSettings


class Settings(PhoneSettings):
    """Field names are the environment's names in lower case. Each class adds to the one before, in this order."""

    unsafe_local_user_pool: bool = Field(False, description="true: local user pool although others can reach HOST")
    unsafe_any_origin: bool = Field(False, description="true: ALLOWED_ORIGINS may be *")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what is worth a line")
    log_format: Literal["auto", "pretty", "json"] = Field("auto", description="auto: pretty on a terminal, else JSON")

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
