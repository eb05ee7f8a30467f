"""Philox4x32-10 against Random123's known answers; the normals made of it against theory."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.noise import Purpose, normal, philox4x32

Words = tuple[int, ...]
ONES = 0xFFFFFFFF
KNOWN_ANSWERS = [  # counter, key, answer: Random123, tests/kat_vectors
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
word = st.integers(0, ONES)
int64 = torch.int64


def ours(counter: Words, key: Words) -> Words:
    words = philox4x32(
        tuple(torch.tensor([w], dtype=int64) for w in counter),
        tuple(torch.tensor([w], dtype=int64) for w in key),
    )
    return tuple(int(w) for w in words)


def plain(counter: Words, key: Words) -> Words:
    """Salmon et al. 2011, section 3.3, in Python's own integers."""
    left, right = list(counter[::2]), list(counter[1::2])
    for r in range(10):
        products = [m * x for m, x in zip((0xD2511F53, 0xCD9E8D57), left, strict=True)]
        high, low = [p // 2**32 for p in products], [p % 2**32 for p in products]
        k = [(k + r * w) % 2**32 for k, w in zip(key, (0x9E3779B9, 0xBB67AE85), strict=True)]
        left = [high[1] ^ right[0] ^ k[0], high[0] ^ right[1] ^ k[1]]
        right = [low[1], low[0]]
    return left[0], right[0], left[1], right[1]


def draw(
    shape: tuple[int, ...] = (3, 5, 7),
    *,
    seed: int = 1,
    index: int = 2,
    step: int = 3,
    purpose: Purpose = Purpose.STEP,
) -> Tensor:
    """One row, alone."""
    row = [torch.tensor([v], dtype=int64) for v in (seed, index, step)]
    return normal(row[0], row[1], row[2], purpose, shape)[0]


@pytest.fixture(scope="module")
def four_million() -> Tensor:
    """32 steps of 32 images of 4,096 elements, in float64."""
    row = torch.arange(1024)
    z = normal(torch.full_like(row, 2023), row % 32, row // 32, Purpose.STEP, (4096,))
    return z.double().reshape(32, 32, 4096)


@pytest.fixture(scope="module")
def draws(four_million: Tensor) -> Tensor:
    """The same as one vector."""
    return four_million.flatten()


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(counter: Words, key: Words, answer: Words) -> None:
    assert ours(counter, key) == answer
    assert plain(counter, key) == answer


@settings(deadline=None)
@given(st.tuples(word, word, word, word), st.tuples(word, word))
def test_philox_agrees_with_a_version_in_plain_integers(counter: Words, key: Words) -> None:
    assert ours(counter, key) == plain(counter, key)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    index=word,
    step=word,
    purpose=st.sampled_from(Purpose),
    element=st.integers(0, 9),
)
def test_a_draw_follows_from_the_documented_counter_and_key(
    seed: int, index: int, step: int, purpose: Purpose, element: int
) -> None:
    key = seed % 2**32, seed // 2**32
    words = plain((element // 4, step, index, int(purpose)), key)
    u = [float(np.float32(w + 1)) / 2**32 for w in words]
    u1, u2 = u[:2] if element % 4 < 2 else u[2:]
    wave = math.sin if element % 2 else math.cos
    z = float(draw((10,), seed=seed, index=index, step=step, purpose=purpose)[element])
    assert z == pytest.approx(math.sqrt(-2 * math.log(u1)) * wave(2 * math.pi * u2), abs=1e-5)


def test_every_draw_is_a_finite_number(draws: Tensor) -> None:
    assert torch.isfinite(draws).all()
    assert 4.9 < draws.abs().max() < 6.67  # 32 bits end at 6.66 sigma, 16 would at 4.71


def test_the_first_four_moments_are_those_of_a_normal(draws: Tensor) -> None:
    """Bounds are five standard errors."""
    n = len(draws)
    assert draws.mean() == pytest.approx(0.0, abs=5 * math.sqrt(1 / n))
    assert (draws**2).mean() == pytest.approx(1.0, abs=5 * math.sqrt(2 / n))
    assert (draws**3).mean() == pytest.approx(0.0, abs=5 * math.sqrt(15 / n))
    assert (draws**4).mean() == pytest.approx(3.0, abs=5 * math.sqrt(96 / n))


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0, 4.0, 5.0])
def test_both_tails_hold_as_many_draws_as_they_should(draws: Tensor, sigma: float) -> None:
    expected = len(draws) * 0.5 * math.erfc(sigma / math.sqrt(2))
    for tail in (draws > sigma, draws < -sigma):
        assert int(tail.sum()) == pytest.approx(expected, abs=5 * math.sqrt(expected) + 1)


def test_the_distribution_function_is_the_normal_one(draws: Tensor) -> None:
    """Kolmogorov-Smirnov; 1.95 is exceeded once in a thousand seeds, and the seed is fixed."""
    n = len(draws)
    theory = 0.5 * (1 + torch.erf(draws.sort().values / math.sqrt(2)))
    empirical = torch.arange(1, n + 1, dtype=torch.float64) / n
    assert (theory - empirical).abs().max() * math.sqrt(n) < 1.95


def test_neighbouring_elements_steps_and_images_are_uncorrelated(four_million: Tensor) -> None:
    z = four_million
    bound = 5 / math.sqrt(z.numel())  # five standard errors; sqrt(8) times that for squares
    for lag in (1, 4):
        for axis in (0, 1, 2):
            product = z * z.roll(lag, dims=axis)
            assert abs(float(product.mean())) < bound, (lag, axis)
            assert abs(float((product**2).mean()) - 1) < 3 * bound, (lag, axis)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 5, 5), (1, 1, 1)])
def test_a_row_is_the_same_to_the_bit_alone_and_at_any_place_of_a_batch(
    shape: tuple[int, ...],
) -> None:
    rows = [(10**9 + i, 7 * i, 999 - i) for i in range(37)]
    seed, index, step = (torch.tensor(c, dtype=int64) for c in zip(*rows, strict=True))
    together = normal(seed, index, step, Purpose.STEP, shape)
    for row, (s, i, p) in enumerate(rows):
        assert torch.equal(together[row], draw(shape, seed=s, index=i, step=p))


def test_fewer_elements_are_the_beginning_of_more() -> None:
    for count in range(1, 10):
        assert torch.equal(draw((count,)), draw((12,))[:count])


def test_seed_index_step_and_purpose_each_change_every_value() -> None:
    others = [draw(seed=9), draw(index=9), draw(step=9)]
    others += [draw(purpose=p) for p in Purpose if p is not Purpose.STEP]
    for other in others:
        assert (draw() != other).float().mean() > 0.99


def test_index_and_step_are_not_interchangeable() -> None:
    assert not torch.equal(draw(index=4, step=8), draw(index=8, step=4))


@pytest.mark.parametrize("seed", [1, 2**32 - 1, 2**53 - 1])
def test_each_bit_of_a_seed_makes_other_noise(seed: int) -> None:
    draws = {tuple(draw((4,), seed=seed ^ 2**bit).tolist()) for bit in range(63)}
    assert len(draws | {tuple(draw((4,), seed=seed).tolist())}) == 64


def test_the_answer_is_float32_in_the_shape_of_a_batch_of_images() -> None:
    rows = torch.arange(4)
    z = normal(rows, rows, rows, Purpose.FORWARD, (3, 5, 7))
    assert (z.dtype, z.shape) == (torch.float32, (4, 3, 5, 7))
