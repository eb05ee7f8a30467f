"""`python -m app.admin`: what operators do to a running service, by way of its Redis."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError

from app.connections import for_reading, for_submitting
from app.operate import NotAgain, Operate
from app.settings import Settings, one_line
from app.stats import StatsService
from protocol.claiming import Claiming
from protocol.job_record import JobRecord
from protocol.registry import Registry

EXIT_REFUSED, EXIT_USAGE, EXIT_NO_REDIS = 1, 2, 3
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Said = dict[str, Any]


class Refused(Exception):
    """Why nothing was done, in one line."""


class Misused(Exception):
    """Arguments that do not go together."""


def main() -> int:
    """Exit status: 0; 1 where nothing was done; 2 for arguments or settings; 3 without a Redis."""
    arguments = _parser().parse_args()
    try:
        redis = arguments.connect(Settings().redis_url)
        said = arguments.act(redis, arguments)
    except ValidationError as error:
        return _failed(one_line(error), EXIT_USAGE)
    except Misused as error:
        return _failed(str(error), EXIT_USAGE)
    except (Refused, NotAgain) as refusal:
        return _failed(str(refusal), EXIT_REFUSED)
    except RedisError as error:
        return _failed(f"Redis does not do it: {error}", EXIT_NO_REDIS)
    sys.stdout.write(json.dumps(said) + "\n" if arguments.json else _lines(said))
    return 0


def _status(redis: Redis, _: argparse.Namespace) -> Said:
    stats = StatsService(redis).read()
    return {"paused": Claiming(redis).paused, **stats.model_dump(mode="json")}


def _pause(redis: Redis, _: argparse.Namespace) -> Said:
    Claiming(redis).pause()
    return {"paused": True}


def _resume(redis: Redis, _: argparse.Namespace) -> Said:
    Claiming(redis).resume()
    return {"paused": False}


def _drain(redis: Redis, arguments: argparse.Namespace) -> Said:
    live = [worker.name for worker in Registry(redis).live_workers()]
    if arguments.worker is not None and arguments.worker not in live:
        names = ", ".join(live) or "none"
        raise Refused(f"no live worker is called {arguments.worker}; there are: {names}")
    asked = live if arguments.all else [arguments.worker]
    for worker in asked:
        Claiming(redis).drain(worker)
    return {"asked_to_leave": asked}


def _purge(redis: Redis, arguments: argparse.Namespace) -> Said:
    jobs = Operate(redis)
    if not arguments.yes and (count := sum(1 for _ in _chosen(jobs, arguments))):
        raise Refused(f"{count} jobs would be deleted with their images; say --yes to do it")
    deleted_jobs = deleted_images = 0
    for job in _chosen(jobs, arguments):
        jobs.delete(job)
        deleted_jobs, deleted_images = deleted_jobs + 1, deleted_images + job.images_done
    return {"deleted_jobs": deleted_jobs, "deleted_images": deleted_images}


def _chosen(jobs: Operate, arguments: argparse.Namespace) -> Iterator[JobRecord]:
    """What the arguments name, one after the other: a purge is called for when memory is short."""
    if arguments.all_of is not None:
        if arguments.tenant is not None:
            raise Misused("--tenant goes with --older-than alone")
        yield from jobs.all_of(arguments.all_of)
        return
    tenants = jobs.tenants() if arguments.tenant is None else [arguments.tenant]
    for name in tenants:
        yield from jobs.ended(name, older_than_s=arguments.older_than)


def _requeue(redis: Redis, arguments: argparse.Namespace) -> Said:
    return {"job": arguments.job, "again_as": Operate(redis).again(arguments.job)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app.admin", description="Works on the Redis of REDIS_URL."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _command(commands, "status", _status, "what waits, what runs, and whether workers claim")
    _command(commands, "pause", _pause, "let no worker claim; what runs goes on")
    _command(commands, "resume", _resume, "let workers claim again")
    drain = _command(commands, "drain", _drain, "ask workers to finish what runs, and to leave")
    who = drain.add_mutually_exclusive_group(required=True)
    who.add_argument("worker", nargs="?", help="its name, as `status` has it")
    who.add_argument("--all", action="store_true", help="every live one")
    purge = _command(commands, "purge", _purge, "delete jobs, with their images and records")
    what = purge.add_mutually_exclusive_group(required=True)
    what.add_argument("--older-than", type=_age, metavar="AGE", help="ended so long ago: 12h, 7d")
    what.add_argument("--all-of", metavar="TENANT", help="a tenant's, those under way too")
    purge.add_argument("--tenant", help="with --older-than: of this one alone")
    purge.add_argument("--yes", action="store_true", help="without it nothing is deleted")
    requeue = _command(
        commands, "requeue", _requeue, "ask once more for a job that did not succeed"
    )
    requeue.add_argument("job", help="its id; what it was asked for is made under a new one")
    requeue.set_defaults(connect=for_submitting)
    return parser


def _command(
    commands: Any, name: str, act: Callable[[Redis, argparse.Namespace], Said], text: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.add_argument("--json", action="store_true", help="one JSON object")
    command.set_defaults(act=act, connect=for_reading)
    return command


def _age(text: str) -> float:
    match = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; write 90s, 30m, 12h or 7d")
    return float(match[1]) * SECONDS[match[2]]


def _lines(said: Said) -> str:
    return "".join(f"{name}: {_text(value)}\n" for name, value in said.items())


def _text(value: Any) -> str:
    """Lists an entry a line, objects as `name=value`."""
    if isinstance(value, list):
        return "".join(f"\n  {_text(entry)}" for entry in value) or "none"
    if isinstance(value, dict):
        return " ".join(f"{name}={_text(part)}" for name, part in value.items())
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _failed(why: str, status: int) -> int:
    sys.stderr.write(f"{why}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
