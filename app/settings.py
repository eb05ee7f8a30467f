"""The front end's settings, from the environment; read once, in the factory."""

from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError
from pydantic_settings import SettingsConfigDict

from protocol.webhook_settings import WebhookPolicySettings

RedisUrl = Annotated[str, StringConstraints(pattern=r"^(rediss?://|unix:///)\S+$")]


class Settings(WebhookPolicySettings):
    """REDIS_URL and WEBHOOK_..., which others share; APP_HOST, APP_PORT, which are ours alone."""

    model_config = SettingsConfigDict(
        env_prefix="APP_", frozen=True, extra="forbid", validate_by_name=True
    )

    redis_url: Annotated[RedisUrl, Field(validation_alias="REDIS_URL", repr=False)]
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000  # 0: any free one


def one_line(error: ValidationError) -> str:
    """What is wrong with which variable; never the value, which may hold a password."""
    return "; ".join(f"{_variable(fault['loc'])}: {fault['msg']}" for fault in error.errors())


def _variable(loc: tuple[int | str, ...]) -> str:
    name = str(loc[0]).upper()
    if name == "REDIS_URL" or name.startswith("WEBHOOK_"):
        return name
    return f"APP_{name.removeprefix('APP_')}"
