"""A folder of Lua scripts that share a prelude."""

from pathlib import Path

from redis import Redis
from redis.commands.core import Script

PRELUDE = "prelude"


def scripts_in(folder: Path, redis: Redis) -> dict[str, Script]:
    """By name, each behind the folder's prelude."""
    prelude = (folder / f"{PRELUDE}.lua").read_text()
    return {
        path.stem: redis.register_script(prelude + path.read_text())
        for path in folder.glob("*.lua")
        if path.stem != PRELUDE
    }
