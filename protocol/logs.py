"""What a process writes to stderr: a line an event, for people or for machines."""

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

Kind = Literal["text", "json"]
_bound: ContextVar[Mapping[str, Any]] = ContextVar("bound", default={})  # noqa: B039  # never changed


def configure(kind: Kind | None) -> None:
    """Everybody's log through one handler; where nothing is said, text on a terminal."""
    kind = kind or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if kind == "json" else Text())
    handler.addFilter(_with_what_is_bound)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def bind(**fields: Any) -> None:
    """Let every later line of this thread, and of contexts copied from it, tell these too."""
    _bound.set({**_bound.get(), **fields})


class JsonLines(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The fields that a record consists of; else who says what, of what, and a traceback."""
        return json.dumps({"time": _time(record), **_fields(record, self)}, ensure_ascii=False)


class Text(logging.Formatter):
    """As people read it; records that consist of fields are JSON all the same."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """What is bound stands in brackets after it."""
        about = " ".join(f"{name}={value}" for name, value in _about(record).items())
        return super().formatMessage(record) + (f" [{about}]" if about else "")

    def format(self, record: logging.LogRecord) -> str:
        """A line."""
        if hasattr(record, "fields"):
            return JsonLines().format(record)
        return super().format(record)


def _with_what_is_bound(record: logging.LogRecord) -> bool:
    record.about = _bound.get()
    return True


def _about(record: logging.LogRecord) -> Mapping[str, Any]:
    about: Mapping[str, Any] = getattr(record, "about", {})
    return about


def _fields(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, Any]:
    own: Mapping[str, Any] | None = getattr(record, "fields", None)
    if own is not None:
        return dict(own)
    said = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
    said |= _about(record)
    if record.exc_info:
        said["traceback"] = formatter.formatException(record.exc_info)
    return said


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
