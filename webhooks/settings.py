"""A sender's settings, from the environment; read once, at the start."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError
from pydantic_settings import SettingsConfigDict

from protocol.redis_settings import RedisSettings
from protocol.webhook_settings import WebhookPolicySettings

MAX_PUBLIC_URL_CHARACTERS = 500  # four times in an event, which stays under 20 kB
PublicUrl = Annotated[
    str,
    StringConstraints(pattern=r"^(https?://[!-~]*[^/])?$", max_length=MAX_PUBLIC_URL_CHARACTERS),
]


class SenderSettings(WebhookPolicySettings, RedisSettings):
    """REDIS_... and DATA_DIR, which others share, and WEBHOOK_..."""

    model_config = SettingsConfigDict(env_prefix="WEBHOOK_", frozen=True, validate_by_name=True)

    data_dir: Annotated[Path, Field(validation_alias="DATA_DIR")] = Path("data")
    secrets_file: Path | None = (
        None  # None: in data_dir, made with a new secret where it is missing
    )
    public_url: PublicUrl = ""  # of the API, before every path in an event
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 15.0  # of an attempt
    at_once: Annotated[int, Field(ge=1, le=1000)] = 64
    retry_scale: Annotated[float, Field(gt=0, le=10)] = 1.0  # of all delays between attempts


def one_line(error: ValidationError) -> str:
    """What is wrong with which variable; never the value, which may hold a password."""
    return "; ".join(f"{_variable(fault['loc'])}: {fault['msg']}" for fault in error.errors())


def _variable(loc: tuple[int | str, ...]) -> str:
    name = str(loc[0]).upper()
    is_whole = name == "DATA_DIR" or name.startswith(("REDIS_", "WEBHOOK_"))
    return name if is_whole else f"WEBHOOK_{name}"
