"""One training step after another: the loss falls, and a resumed run is the unbroken one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.train_config import TrainConfig
from models.trainer import Trainer
from models.training_run import Run
from tests.models.runs import run_on, state_of, tiny_run, trainer_of
from tests.models.tiny import same


def test_the_loss_falls_on_a_few_images(garments: Tensor) -> None:
    config = tiny_run(T=1000, batch=16, images=960, learning_rate=4e-3)
    losses = run_on(trainer_of(config), garments[:16], 60)
    assert losses[0] == pytest.approx(1.0, abs=0.15)  # a network that starts at zero predicts zero
    assert sum(losses[-10:]) / 10 < 0.25


@pytest.mark.parametrize(
    ("autocast", "flip", "dropout"),
    [("float32", False, 0.3), ("bfloat16", True, 0.0), ("float16", False, 0.0)],
)
def test_a_resumed_run_is_the_unbroken_one_to_the_bit(
    garments: Tensor, tmp_path: Path, autocast: str, flip: bool, dropout: float
) -> None:
    config = tiny_run(
        network={"dropout": dropout}, autocast=autocast, flip=flip, warmup_images=24, decay_from=0.5
    )
    whole, killed, resumed = (trainer_of(config) for _ in range(3))
    expected = run_on(whole, garments, 12)
    before = run_on(killed, garments, 5)
    Run(tmp_path, "r").save(killed, {"images": killed.images_seen})
    Run(tmp_path, "r").resume(resumed)
    assert before + run_on(resumed, garments, 7) == expected
    assert same(state_of(resumed), state_of(whole))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_half_computes_something_else_but_keeps_float32_weights(
    garments: Tensor, precision: str
) -> None:
    single, half = (trainer_of(tiny_run(autocast=a)) for a in ("float32", precision))
    assert run_on(single, garments, 3) != run_on(half, garments, 3)
    assert {p.dtype for p in half.net.parameters()} == {torch.float32}


@pytest.mark.parametrize("accumulate", [2, 8])
def test_a_batch_in_parts_is_the_whole_batch_but_for_rounding(
    garments: Tensor, accumulate: int
) -> None:
    whole, parts = (trainer_of(tiny_run(accumulate=n, flip=True)) for n in (1, accumulate))
    assert run_on(whole, garments, 5) == pytest.approx(run_on(parts, garments, 5), rel=1e-4)
    for name, weight in whole.net.state_dict().items():
        assert torch.allclose(weight, parts.net.state_dict()[name], rtol=0, atol=1e-4), name


def test_a_batch_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="batch: 8 is not divided by 1 processes x accumulate 3"):
        trainer_of(tiny_run(accumulate=3))


def shown(trainer: Trainer, pixels: Tensor) -> Tensor:
    """What the network is given to look at."""
    seen = list[Tensor]()

    def look(x_t: Tensor, t: Tensor) -> Tensor:
        seen.append(x_t)
        return torch.zeros_like(x_t)

    trainer.forward = look
    trainer.losses(trainer.drawn(pixels, None, seed=0))
    return seen[0]


def test_flipping_mirrors_about_half_of_the_images() -> None:
    left_dark = torch.zeros(64, 1, 8, 8, dtype=torch.uint8)
    left_dark[..., 4:] = 255
    for flip, expected in ((False, range(1)), (True, range(20, 45))):
        x = shown(trainer_of(tiny_run(flip=flip, T=1)), left_dark)  # hardly any noise
        mirrored = (x[..., 0] > 0).all(dim=2).flatten()
        assert int(mirrored.sum()) in expected
        assert torch.equal(mirrored, (x[..., 7] < 0).all(dim=2).flatten())


@pytest.mark.parametrize(
    "changes",
    [
        {"prediction": "v_prediction"},
        {"prediction": "sample"},
        {"schedule": "cosine"},
        {"schedule": "sigmoid", "prediction": "v_prediction"},
    ],
    ids=str,
)
def test_every_objective_and_schedule_is_learned(garments: Tensor, changes: dict[str, Any]) -> None:
    config = tiny_run(T=1000, batch=16, images=960, learning_rate=4e-3)
    losses = run_on(trainer_of(replace(config, **changes)), garments[:16], 60)
    assert sum(losses[-10:]) / 10 < 0.75 * losses[0]


def three_kinds(count: int) -> Tensor:
    """Labels to go with any images."""
    return torch.arange(count) % 3


def labelled_run(**optimiser: Any) -> TrainConfig:
    kinds = ("a", "b", "c")
    return tiny_run(network={"num_class_embeds": 4}, labels=kinds, **optimiser)


def test_a_resumed_run_with_labels_is_the_unbroken_one_to_the_bit(
    garments: Tensor, tmp_path: Path
) -> None:
    whole, killed, resumed = (trainer_of(labelled_run(label_dropout=0.3)) for _ in range(3))
    labels = three_kinds(len(garments))
    expected = run_on(whole, garments, 9, labels)
    before = run_on(killed, garments, 4, labels)
    Run(tmp_path, "r").save(killed, {"images": killed.images_seen})
    Run(tmp_path, "r").resume(resumed)
    assert before + run_on(resumed, garments, 5, labels) == expected
    assert same(state_of(resumed), state_of(whole))


@pytest.mark.parametrize(("share", "expected"), [(0.0, range(1)), (0.25, range(50, 105))])
def test_so_many_labels_are_left_out(share: float, expected: range) -> None:
    trainer, seen = trainer_of(labelled_run(label_dropout=share)), list[Tensor]()

    def look(x_t: Tensor, t: Tensor, y: Tensor) -> Tensor:
        seen.append(y)
        return torch.zeros_like(x_t)

    trainer.forward = look
    labels = three_kinds(300)
    trainer.losses(trainer.drawn(torch.zeros(300, 1, 8, 8, dtype=torch.uint8), labels, seed=0))
    left_out = seen[0] == 3
    assert int(left_out.sum()) in expected
    assert torch.equal(seen[0][~left_out], labels[~left_out])


def test_a_network_learns_what_its_labels_tell() -> None:
    """Black, grey and white images: without noise to go by, only the label tells which."""
    shades = torch.tensor([0, 128, 255], dtype=torch.uint8)
    labels = three_kinds(96)
    images = shades[labels][:, None, None, None].expand(-1, 1, 8, 8).contiguous()
    config = labelled_run(T=1000, batch=16, images=3200, learning_rate=1e-2)
    trainer = trainer_of(config)
    run_on(trainer, images, 200, labels)
    x_t = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    t = torch.full((3,), 700)
    with torch.no_grad():
        eps = trainer.net(x_t[:1].expand(3, -1, -1, -1), t, torch.arange(3))
    brightness = -eps.mean(dim=(1, 2, 3))  # less noise explained is more image
    assert brightness[0] < brightness[1] < brightness[2]


def test_every_step_draws_anew(garments: Tensor) -> None:
    still = trainer_of(tiny_run(learning_rate=1e-12))  # what differs are the draws alone
    losses = [float(still.step(garments[:8])) for _ in range(6)]
    assert len({round(loss, 5) for loss in losses}) == 6


def test_one_seed_is_one_run_and_two_are_two(garments: Tensor) -> None:
    one, again, other = (trainer_of(tiny_run(seed=seed)) for seed in (1, 1, 2))
    assert run_on(one, garments, 2) == run_on(again, garments, 2)
    run_on(other, garments, 2)
    assert same(state_of(one), state_of(again))
    assert not same(one.net.state_dict(), other.net.state_dict())


def test_gradients_are_clipped_to_the_configured_norm(garments: Tensor) -> None:
    trainer = trainer_of(tiny_run(grad_clip=1e-3))
    run_on(trainer, garments, 1)
    norms = [p.grad.norm() for p in trainer.net.parameters() if p.grad is not None]
    assert float(torch.stack(norms).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_adam_runs_at_the_configured_rate(garments: Tensor) -> None:
    trainer = trainer_of(tiny_run(warmup_images=32))
    for seen in (8, 16, 24, 32):
        run_on(trainer, garments, 1)
        assert trainer.adam.param_groups[0]["lr"] == pytest.approx(2e-3 * seen / 32)


@pytest.mark.parametrize(
    ("warmup", "decays"),
    [(True, (1 / 10, 2 / 11, 0.2, 0.2)), (False, (0.2, 0.2, 0.2))],  # (1 + n) / (10 + n), at first
)
def test_a_run_averages_its_weights_after_every_step(
    garments: Tensor, warmup: bool, decays: tuple[float, ...]
) -> None:
    trainer = trainer_of(tiny_run(ema_decay=0.2, ema_warmup=warmup))
    name = "conv_in.weight"
    expected = trainer.net.state_dict()[name].clone()
    for decay in decays:
        run_on(trainer, garments, 1)
        expected = torch.lerp(trainer.net.state_dict()[name], expected, decay)
    assert torch.allclose(trainer.ema.state_dict()[name], expected, rtol=1e-5, atol=1e-7)
