"""The engine on the real runner and a tiny network, against the slow sampler."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import fields, replace
from itertools import islice

import numpy as np
import pytest
import torch

from models.diffusion import Denoiser
from models.pixels import to_uint8
from models.plan import Plan, ddim_plan, ddpm_plan
from models.sample import first_state, reverse_chain, sample
from models.sampling_net import SamplingNet
from models.schedule import linear_schedule
from models.unet import UNet
from tests.conftest import TINY
from worker.chunks import agreeing_sizes
from worker.engine import Engine
from worker.row import Dropped, EngineFault, Pixels, Row, Ticket
from worker.runner import TorchRunner

SCHEDULE = linear_schedule()
DDIM = ddim_plan(SCHEDULE, 20)
DDPM = ddpm_plan(SCHEDULE, 50)
FULL = ddpm_plan(linear_schedule(T=200), 200, variance="fixed_large")


@pytest.fixture(scope="module")
def net() -> UNet:
    torch.manual_seed(0)
    return UNet(TINY).eval()


def ready(net: UNet) -> SamplingNet:
    return SamplingNet(net, 1000, device="cpu")


def runner_of(net: UNet, sizes: tuple[int, ...], *, slots: int = 32) -> TorchRunner:
    return TorchRunner(ready(net), device="cpu", slots=slots, sizes=sizes)


@pytest.fixture(scope="module")
def sizes(net: UNet) -> tuple[int, ...]:
    return agreeing_sizes(ready(net), ddpm_plan(SCHEDULE, 10), device="cpu", chunk=16)


@pytest.fixture
def engine(net: UNet, sizes: tuple[int, ...]) -> Iterator[Engine]:
    engine = Engine(runner_of(net, sizes), on_fault=_unexpected)
    engine.start()
    yield engine
    engine.stop()
    engine.join()


def _unexpected() -> None:
    raise AssertionError("the engine faulted")


def padded(net: UNet) -> Denoiser:
    """The network at the engine's chunk size.

    Kernels for one row round differently by 1e-6, which untrained weights amplify a thousandfold
    over a chain; what is compared here is the sampler.
    """
    fast = ready(net)
    return lambda x, t: fast(x.expand(16, -1, -1, -1), t.expand(16))[: len(x)]


class Images(dict[int, Pixels]):
    """What a ticket delivered, by index."""

    def ticket(self, plan: Plan, *, seed: int, indices: range, job: str = "job") -> Ticket:
        return Ticket(
            job_id=job,
            tenant="",
            urgency=1,
            plan=plan,
            steps=plan.steps,
            seed=seed,
            indices=tuple(indices),
            deliver=self.__setitem__,
        )


def run(engine: Engine, plan: Plan, *, seed: int, indices: range) -> Images:
    images = Images()
    ticket = images.ticket(plan, seed=seed, indices=indices)
    engine.submit(ticket)
    ticket.done.result(timeout=60)
    return images


@pytest.mark.parametrize("plan", [DDIM, DDPM, FULL], ids=["ddim-20", "ddpm-50", "ddpm-200-large"])
def test_the_engine_equals_the_slow_sampler(net: UNet, sizes: tuple[int, ...], plan: Plan) -> None:
    runner = runner_of(net, sizes, slots=3)
    rows = [Row(Images().ticket(plan, seed=11, indices=range(9)), index) for index in (2, 5, 8)]
    for row in rows:
        runner.admit(row)
    for _ in range(plan.steps):
        runner.step(rows)
    for row in rows:
        expected = sample(padded(net), plan, TINY.image_shape, seed=11, index=row.index)
        assert (runner.state(row) - expected).abs().max() <= 1e-5


def test_pixels_are_equal_alone_in_company_and_at_every_position(engine: Engine) -> None:
    together = run(engine, DDPM, seed=4, indices=range(16))
    for index in (0, 5, 15):
        alone = run(engine, DDPM, seed=4, indices=range(index, index + 1))
        assert np.array_equal(alone[index], together[index])


def test_pixels_are_equal_when_joining_half_way(engine: Engine) -> None:
    alone = run(engine, DDIM, seed=4, indices=range(3))
    stepped: Future[None] = Future()
    other = Images().ticket(FULL, seed=1, indices=range(7), job="other")
    other.first_step.add_done_callback(lambda _: stepped.set_result(None))
    engine.submit(other)
    stepped.result(timeout=30)
    joined = run(engine, DDIM, seed=4, indices=range(3))
    assert not other.done.done(), "the other job was to be still running"
    assert all(np.array_equal(alone[i], joined[i]) for i in range(3))
    other.done.result(timeout=60)


def test_more_rows_than_places_all_get_their_turn(engine: Engine) -> None:
    images = run(engine, DDIM, seed=2, indices=range(100, 150))
    assert sorted(images) == list(range(100, 150))
    assert engine.counters["images"] == 50
    assert engine.counters["row_steps"] == 50 * DDIM.steps


def test_the_rounding_is_that_of_the_project(engine: Engine, net: UNet) -> None:
    image = run(engine, DDIM, seed=3, indices=range(1))[0]
    expected = to_uint8(sample(padded(net), DDIM, TINY.image_shape, seed=3, index=0))
    assert image.dtype == np.uint8
    assert image.shape == (8, 8, 1)
    assert np.array_equal(image, expected.permute(1, 2, 0).numpy())


def test_slots_and_tables_are_free_again_after_a_mix_of_plans(
    net: UNet, sizes: tuple[int, ...]
) -> None:
    runner = runner_of(net, sizes, slots=2)
    for plan in [DDIM, DDPM, ddim_plan(SCHEDULE, 5), ddim_plan(SCHEDULE, 6)]:
        for _ in range(3):
            rows = [Row(Images().ticket(plan, seed=1, indices=range(2)), i) for i in (0, 1)]
            for row in rows:
                runner.admit(row)
            runner.step(rows)
            assert len(runner.collect(rows)) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError])
@pytest.mark.parametrize("at", ["step", "collect"])
def test_a_step_that_raises_fails_those_in_it_and_stops_the_engine(
    net: UNet, monkeypatch: pytest.MonkeyPatch, at: str, error: type[Exception]
) -> None:
    """The others have lost their states, and are not to blame."""

    def broken(rows: list[Row]) -> None:
        raise error("device lost")

    faulted = threading.Event()
    runner = runner_of(net, (16,), slots=16)
    monkeypatch.setattr(runner, at, broken)
    engine = Engine(runner, on_fault=faulted.set)
    running, beside = (Images().ticket(DDIM, seed=0, indices=range(8), job=j) for j in "ab")
    waiting = Images().ticket(DDIM, seed=0, indices=range(4), job="c")
    waiting.urgency = 2
    for ticket in (running, beside, waiting):
        engine.submit(ticket)
    engine.start()
    for ticket in (running, beside):
        with pytest.raises(EngineFault, match="device lost"):
            ticket.done.result(timeout=60)
    with pytest.raises(Dropped):
        waiting.done.result(timeout=60)
    assert faulted.wait(timeout=10)
    engine.join(timeout=10)
    assert not engine.is_alive()


class Coming(Ticket):
    """Half way into the engine until somebody has looked at what is under way, or nobody does."""

    half_way, looked = threading.Event(), threading.Event()
    was_looked_at = False

    def rows(self) -> list[Row]:
        self.half_way.set()
        Coming.was_looked_at = self.looked.wait(timeout=0.5)
        return Ticket.rows(self)


def test_nobody_looks_while_another_job_is_half_way_into_the_engine(
    net: UNet, sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of who is under way cannot be made while somebody is added to them."""
    runner = runner_of(net, sizes)
    engine = Engine(runner, on_fault=_unexpected)
    ticket = Images().ticket(DDIM, seed=1, indices=range(1))
    coming = Coming(**{f.name: getattr(ticket, f.name) for f in fields(ticket)} | {"job_id": "new"})
    comes = threading.Thread(target=engine.submit, args=(coming,))

    def collect(rows: list[Row]) -> list[Pixels]:
        comes.start()
        assert coming.half_way.wait(timeout=10)
        return TorchRunner.collect(runner, rows)

    def preview(rows: list[Row]) -> list[Pixels]:
        coming.looked.set()
        return TorchRunner.preview(runner, rows)

    monkeypatch.setattr(runner, "collect", collect)
    monkeypatch.setattr(runner, "preview", preview)
    engine.submit(ticket)
    seen = engine.look(ticket, most=1)
    engine.step()
    comes.join()
    assert len(seen.result(timeout=0)) == 1
    assert not coming.was_looked_at


def test_a_ticket_dropped_while_its_last_image_is_delivered_does_no_harm(engine: Engine) -> None:
    def canceled(index: int, pixels: Pixels) -> None:
        ticket.drop(Dropped("canceled"))

    ticket = replace(Images().ticket(DDIM, seed=1, indices=range(1)), deliver=canceled)
    engine.submit(ticket)
    with pytest.raises(Dropped):
        ticket.done.result(timeout=60)
    assert sorted(run(engine, DDIM, seed=1, indices=range(2))) == [0, 1]


def test_what_is_under_way_can_be_looked_at(net: UNet, sizes: tuple[int, ...]) -> None:
    """The slow sampler's x0_hat after as many steps; nothing before the first, or of others."""
    engine = Engine(runner_of(net, sizes), on_fault=_unexpected)
    images = Images()
    ticket = images.ticket(DDPM, seed=3, indices=range(5, 8))
    other = Images().ticket(DDPM, seed=4, indices=range(2), job="other")
    early = engine.look(ticket, most=2)
    engine.submit(other)
    engine.step()
    assert early.result(timeout=0) == []
    engine.submit(ticket)
    for _ in range(10):
        engine.step()
    seen = engine.look(ticket, most=2)
    engine.step()
    assert len(seen.result(timeout=0)) == 2
    for index, image in zip((5, 6), seen.result(timeout=0), strict=True):
        x_t = first_state((1, 8, 8), 3, [index])
        chain = reverse_chain(padded(net), DDPM, x_t, seed=3, indices=[index])
        *_, (_, x0_hat) = islice(chain, 11)
        assert np.array_equal(image, to_uint8(x0_hat[0]).permute(1, 2, 0).numpy())
    while not ticket.done.done():
        engine.step()
    assert images[5].shape == (8, 8, 1), "looking takes nothing away"
    late = engine.look(ticket, most=2)
    engine.step()
    assert late.result(timeout=0) == []
