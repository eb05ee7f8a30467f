"""Where Redis is, as every process of the service is told."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis import ConnectionPool


def _readable(url: str) -> str:
    """Raises ValueError where redis-py cannot read it; its own words may quote a password."""
    try:
        ConnectionPool.from_url(url).make_connection()  # nothing is connected to
    except (ValueError, TypeError):
        wrong = "is not one that can be read: look at its port, and at what follows the ?"
        raise ValueError(wrong) from None
    return url


RedisUrl = Annotated[
    str,
    StringConstraints(pattern=r"^(rediss?://|unix:///)\S+$"),
    AfterValidator(_readable),
]


def _content(path: object) -> object:
    """What a file says; None without one, and of an empty one. Raises ValueError."""
    if not path:
        return None
    try:
        return Path(str(path)).read_text().strip() or None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


class RedisSettings(BaseSettings):
    """REDIS_URL; and REDIS_PASSWORD_FILE, where its password is kept in a file.

    Faults are told without what was given, which may hold a password.
    """

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True, env_ignore_empty=True)

    redis_password: Annotated[
        SecretStr | None,
        BeforeValidator(_content),
        Field(validation_alias="REDIS_PASSWORD_FILE"),
    ] = None
    redis_url: Annotated[RedisUrl, Field(validation_alias="REDIS_URL", repr=False)]

    @field_validator("redis_url")
    @classmethod
    def _with_password(cls, url: str, info: ValidationInfo) -> str:
        password: SecretStr | None = info.data.get("redis_password")
        return url if password is None else with_password(url, password.get_secret_value())


def with_password(url: str, password: str) -> str:
    """The URL of the same server and user. Raises ValueError where it has a password already."""
    parts = urlsplit(url)
    if parts.password is not None:
        raise ValueError("has a password of its own, and REDIS_PASSWORD_FILE another: keep one")
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username or ''}:{quote(password, '')}@{place}").geturl()
