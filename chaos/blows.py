"""How each blow is dealt. All return once it is over and the way is clear again."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis.exceptions import ConnectionError, TimeoutError

from chaos.plan import Blow, Strike
from chaos.proxy import Mood, Proxy
from chaos.stack import Stack


def deal(stack: Stack, strike: Strike) -> None:
    """One blow."""
    worker = stack.workers[strike.worker]
    lasts_s = strike.lasts_s
    deals: dict[Blow, Callable[[], Any]] = {
        Blow.KILL_WORKER: lambda: worker.send(signal.SIGKILL),
        Blow.TERMINATE_WORKER: lambda: worker.send(signal.SIGTERM),
        Blow.FREEZE_WORKER: lambda: worker.freeze(lasts_s),
        Blow.KILL_API: lambda: stack.api.send(signal.SIGKILL),
        Blow.FREEZE_API: lambda: stack.api.freeze(lasts_s),
        Blow.KILL_REDIS: lambda: stack.redis.kill_for(lasts_s),
        Blow.FREEZE_REDIS: lambda: stack.redis.freeze(lasts_s),
        Blow.FILL_REDIS: lambda: _fill(stack, lasts_s),
        Blow.CUT_REDIS: stack.to_redis.cut,
        Blow.DROP_REDIS: lambda: _mood(stack.to_redis, Mood.DROP, lasts_s),
        Blow.DELAY_REDIS: lambda: _mood(stack.to_redis, Mood.DELAY, lasts_s),
        Blow.CUT_API: stack.to_api.cut,
        Blow.DELAY_API: lambda: _mood(stack.to_api, Mood.DELAY, lasts_s),
    }
    deals[strike.blow]()


def _mood(proxy: Proxy, mood: Mood, lasts_s: float) -> None:
    proxy.mood = mood
    time.sleep(lasts_s)
    proxy.calm()


def _fill(stack: Stack, lasts_s: float) -> None:
    """No room for anything; a Redis that is killed meanwhile has forgotten it."""
    for maxmemory in ("1", "0"):
        with stack.look() as redis, suppress(ConnectionError, TimeoutError):
            redis.config_set("maxmemory", maxmemory)
        time.sleep(lasts_s if maxmemory == "1" else 0)
