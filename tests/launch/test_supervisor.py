"""Who is started again, and whose end is everybody's."""

import signal
import sys
import time
from pathlib import Path

import pytest

from launch.child import Child
from launch.supervisor import Supervisor, delay_s, stop
from tests.conftest import until

DEAF = [
    sys.executable,
    "-c",
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True)\n"
    "time.sleep(60)",
]


def child(name: str, script: str, said: list[str], *, restarts: bool = False) -> Child:
    return Child(name, ["sh", "-c", script], {}, said.append, restarts)


def test_the_wait_before_another_start_grows_and_has_an_end() -> None:
    assert [delay_s(crashes) for crashes in (1, 2, 3, 4, 5, 6, 7)] == [1, 2, 4, 8, 16, 30, 30]
    assert delay_s(1_025) == 30, "as a power of two, no longer a float"


def test_a_child_that_may_crash_is_started_again(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    script = f"test -e {tmp_path}/ran && exit 2; touch {tmp_path}/ran; exit 7"
    with supervisor.running([child("w", script, said, restarts=True)], patience_s=5):
        assert supervisor.run() == 2
    assert said == [
        "w has left with status 7: again in 1 s",
        "w has left with status 2: stopping",
    ]


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("exit 0", 1), ("exit 2", 2)])
def test_the_end_of_one_that_must_not_crash_is_the_end(script: str, status: int) -> None:
    supervisor = Supervisor(lambda line: None)
    with supervisor.running([child("api", script, [])], patience_s=5):
        assert supervisor.run() == status


def test_a_task_that_returns_a_status_ends_it_and_one_that_does_not_goes_on() -> None:
    supervisor = Supervisor(lambda line: None)
    with supervisor.running([child("api", "exec sleep 60", [])], patience_s=5):
        supervisor.beside(lambda: None)
        supervisor.beside(lambda: 5)
        assert supervisor.run() == 5


def test_an_error_of_a_task_is_raised() -> None:
    def fail() -> int:
        raise ValueError("in the task")

    supervisor = Supervisor(lambda line: None)
    supervisor.beside(fail)
    with pytest.raises(ValueError, match="in the task"):
        supervisor.run()


def test_what_children_say_is_passed_on_with_their_names() -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    with supervisor.running([child("api", "echo out; echo err >&2", said)], patience_s=5):
        supervisor.run()
    assert said[:2] == ["api      | out", "api      | err"]


def test_who_does_not_leave_when_asked_is_killed() -> None:
    said: list[str] = []
    stubborn = Child("w", DEAF, {}, said.append)
    with Supervisor(said.append).running([stubborn], patience_s=0.2):
        until(lambda: said)
    assert stubborn.status == -signal.SIGKILL


def test_several_who_do_not_leave_are_waited_for_no_longer_than_one() -> None:
    said: list[str] = []
    stubborn = [Child(f"w-{k}", DEAF, {}, said.append) for k in range(8)]
    with Supervisor(said.append).running(stubborn, patience_s=0):
        until(lambda: len(said) == len(stubborn))
        begun_s = time.monotonic()
        stop(stubborn, patience_s=1)
        assert 1 <= time.monotonic() - begun_s < 4
