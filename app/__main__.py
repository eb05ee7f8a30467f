"""`python -m app`: serve until SIGTERM or SIGINT, then answer what was asked and leave."""

import asyncio
import signal
import socket
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from app.http_head import BoundedHead
from app.keys import KeysError
from app.main import create_app
from app.settings import Settings, one_line
from protocol import logs

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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Also: SIGHUP reads the keys again, where there are any."""
        await super().startup(sockets)
        if self._app.state.keys is not None:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, self._app.state.keys.reload)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """A client that waits for a job gets it as it is."""
        self._app.state.events.release()
        await super().shutdown(sockets)


def main() -> int:
    """Exit status: 0 after a signal, 2 for settings."""
    try:
        settings = Settings()
        app = create_app(settings)
    except ValidationError as error:
        return _cannot_start(one_line(error))
    except KeysError as error:
        return _cannot_start(f"APP_KEYS_FILE: {error}")
    logs.configure(settings.log)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedHead,
        log_config=None,
        access_log=False,  # app.observe writes it
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    Server(app, config).run()
    return 0


def _cannot_start(why: str) -> int:
    sys.stderr.write(f"cannot start: {why}\n")
    return EXIT_BAD_SETTINGS


if __name__ == "__main__":
    sys.exit(main())
