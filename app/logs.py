"""What this process writes to stderr: a line an event, for people or for machines."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

Kind = Literal["text", "json"]
ACCESS = "app.access"


def configure(kind: Kind | None) -> None:
    """Everybody's log through one handler; where nothing is said, text on a terminal."""
    kind = kind or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if kind == "json" else Text())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class JsonLines(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Of an access, its fields; else who says what, and the traceback if there is one."""
        return json.dumps({"time": _time(record), **_fields(record, self)}, ensure_ascii=False)


class Text(logging.Formatter):
    """As people read it; accesses are JSON all the same."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """A line."""
        if record.name == ACCESS:
            return JsonLines().format(record)
        return super().format(record)


def _fields(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, Any]:
    if record.name == ACCESS and isinstance(record.args, dict):
        return dict(record.args)
    said = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
    if record.exc_info:
        said["traceback"] = formatter.formatException(record.exc_info)
    return said


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
