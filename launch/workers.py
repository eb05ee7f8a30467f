"""`python -m launch.workers`: a worker for each of MODELS, in a container or on a host of workers.

Each is a process of its own, started again whenever it ends: a checkpoint that is missing today
may be mounted tomorrow, and one model's trouble is not the others'.
"""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from launch.child import EXIT_BAD_SETTINGS, ROOT, Child, say
from launch.settings import Grace, one_line
from launch.supervisor import Supervisor, leave_on_signals

SHIPPED = ROOT / "models" / "pretrained"
GIVE_BACK_S = 15.0  # after a worker's grace: to give back what has not finished


class WorkersSettings(BaseSettings):
    """MODELS, MODELS_DIR, WORKER_GRACE_S; all else the workers read themselves."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    models: Annotated[str, Field(pattern=r"\S")] = "fashion-mnist"  # one or more, by blanks
    models_dir: Path = Path("/models")
    grace_s: Grace = 20.0


def main() -> int:
    """Exit status: 0 after SIGTERM or Ctrl-C, 2 for settings."""
    leave_on_signals()
    supervisor = Supervisor(say)
    try:
        settings = WorkersSettings()
        with supervisor.running(workers(settings), patience_s=settings.grace_s + GIVE_BACK_S):
            return supervisor.run()
    except ValidationError as error:
        say(f"cannot start: {one_line(error)}")
        return EXIT_BAD_SETTINGS
    except KeyboardInterrupt:
        return 0


def workers(settings: WorkersSettings) -> list[Child]:
    """One for each model, not yet started."""
    return [
        Child(
            name,
            [sys.executable, "-m", "worker"],
            {"WORKER_MODEL": place(name, settings.models_dir)},
            say,
            restarts=True,
            hopeless=frozenset(),
        )
        for name in dict.fromkeys(settings.models.split())
    ]


def place(name: str, models_dir: Path) -> str:
    """The folder of one's own model of this name, or of one that ships; else the name as it is.

    That is a path, or an id on the Hugging Face Hub; the worker says so if it is neither.
    """
    folders = (models_dir / name, SHIPPED / name)
    return next((str(folder) for folder in folders if folder.is_dir()), name)


if __name__ == "__main__":
    sys.exit(main())
