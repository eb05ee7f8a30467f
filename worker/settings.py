"""A worker's settings, from the environment; read once, in the factory."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from protocol.logs import Kind
from protocol.redis_settings import RedisSettings
from worker.fingerprint import Mode, Precision


class WorkerSettings(RedisSettings):
    """Each is an environment variable: REDIS_URL, DATA_DIR, WORKER_MODEL, WORKER_DEVICE ..."""

    model_config = SettingsConfigDict(env_prefix="WORKER_", frozen=True)

    data_dir: Annotated[Path, Field(validation_alias="DATA_DIR")] = Path("data")
    model: Path = Path("models/pretrained/fashion-mnist")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1)] = os.cpu_count() or 1
    rows: Annotated[int, Field(ge=1, le=4096)] | None = None  # in a step; None: by device
    precision: Precision = "auto"
    mode: Mode = "auto"
    grace_s: Annotated[float, Field(ge=0)] = 20.0  # to finish what runs, after SIGTERM
    log: Kind | None = None  # None: text on a terminal, else JSON
