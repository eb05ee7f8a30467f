"""`python -m app`: serve until SIGTERM or SIGINT, then answer what was asked and leave."""

import logging
import re
import signal
import socket
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from app.main import create_app
from app.settings import Settings, one_line

EXIT_BAD_SETTINGS = 2
GRACE_S = 10  # for answers under way
KEEP_ALIVE_S = 75  # longer than clients keep theirs: else both may hang up at once, on a request


class Server(uvicorn.Server):
    """Uvicorn, but those who only wait are let go, and a signal is a proper way to end: exit 0."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Leave; the second Ctrl-C leaves at once."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """A client that waits for a job gets it as it is."""
        self._app.state.events.release()
        await super().shutdown(sockets)


class NoProbes(logging.Filter):
    """Who asks whether we live, every few seconds, would fill the access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not re.search(r"/(livez|readyz) HTTP", record.getMessage())


def main() -> int:
    """Exit status: 0 after a signal, 2 for settings."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.stderr.write(f"cannot start: {one_line(error)}\n")
        return EXIT_BAD_SETTINGS
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("uvicorn.access").addFilter(NoProbes())
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    Server(app, config).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
