"""The front end's settings, from the environment; read once, in the factory."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode, SettingsConfigDict

from protocol.logs import Kind
from protocol.redis_settings import RedisSettings
from protocol.webhook_settings import WebhookPolicySettings

Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^\s/,]+)$")]


def _listed(text: object) -> object:
    """Of one variable, several values."""
    return [word.strip() for word in text.split(",")] if isinstance(text, str) else text


class Settings(WebhookPolicySettings, RedisSettings):
    """REDIS_... and WEBHOOK_..., which others share; APP_..., which are ours alone."""

    model_config = SettingsConfigDict(
        env_prefix="APP_",
        frozen=True,
        extra="forbid",
        validate_by_name=True,
    )

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000  # 0: any free one
    keys_file: Path | None = None  # TOML or JSON; None: no keys, and one tenant
    trusted_network: bool = False  # without keys, listen beyond loopback all the same
    max_queued_images: Annotated[int, Field(ge=1)] = 1_000_000  # of everybody
    body_timeout_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 30.0  # until a body is there
    cors_origins: Annotated[
        tuple[Origin, ...], NoDecode, BeforeValidator(_listed)
    ] = ()  # separated by commas; none: no CORS
    log: Kind | None = None  # None: text on a terminal, else JSON

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        if self.keys_file is None and not self.trusted_network and not _is_loopback(self.host):
            raise PydanticCustomError(
                "unguarded",
                "{host} is not loopback, and there are no API keys: set APP_KEYS_FILE, or "
                "APP_TRUSTED_NETWORK=true where all who can reach it may use it",
                {"host": self.host},
            )
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def one_line(error: ValidationError) -> str:
    """What is wrong with which variable; never the value, which may hold a password."""
    return "; ".join(f"{_variable(fault['loc'])}: {fault['msg']}" for fault in error.errors())


def _variable(loc: tuple[int | str, ...]) -> str:
    name = str(loc[0]).upper() if loc else "APP_HOST"
    if name.startswith(("REDIS_", "WEBHOOK_")):
        return name
    return f"APP_{name.removeprefix('APP_')}"
