"""The front end's settings, from the environment; read once, in the factory."""

from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from protocol.redis_settings import RedisSettings
from protocol.webhook_settings import WebhookPolicySettings


class Settings(WebhookPolicySettings, RedisSettings):
    """REDIS_... and WEBHOOK_..., which others share; APP_HOST, APP_PORT, which are ours alone."""

    model_config = SettingsConfigDict(
        env_prefix="APP_", frozen=True, extra="forbid", validate_by_name=True
    )

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000  # 0: any free one


def one_line(error: ValidationError) -> str:
    """What is wrong with which variable; never the value, which may hold a password."""
    return "; ".join(f"{_variable(fault['loc'])}: {fault['msg']}" for fault in error.errors())


def _variable(loc: tuple[int | str, ...]) -> str:
    name = str(loc[0]).upper()
    if name.startswith(("REDIS_", "WEBHOOK_")):
        return name
    return f"APP_{name.removeprefix('APP_')}"
