"""`python -m launch.up`: the service on this machine, until Ctrl-C. `make up` is this."""

import sys

from launch.child import EXIT_BAD_SETTINGS, say
from launch.redis_server import RedisError
from launch.server import Server
from launch.settings import SettingsError, check_port, read_up
from launch.stack import service
from launch.supervisor import Supervisor, leave_on_signals


def main() -> int:
    """Exit status: 0 after Ctrl-C or SIGTERM, 2 for settings, 1 where a part cannot go on."""
    leave_on_signals()
    supervisor = Supervisor(say)
    try:
        settings = read_up()
        check_port(settings.host, settings.port)
        with service(settings, supervisor) as url:
            supervisor.beside(lambda: _announce(url, supervisor))
            return supervisor.run()
    except (SettingsError, RedisError) as error:
        say(str(error))
        return EXIT_BAD_SETTINGS
    except KeyboardInterrupt:
        say("stopped; what was accepted goes on at the next `make up`")
        return 0


def _announce(url: str, supervisor: Supervisor) -> None:
    with Server(url) as server:
        if server.wait_until_ready(supervisor.leaving):
            say(f"\n  denoised is ready: {url}   (try it: {url}/docs)   Ctrl-C stops it\n")


if __name__ == "__main__":
    sys.exit(main())
