"""The sheet of samples that a run leaves: where and how it is drawn."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from models.sample_sheet import draw_samples, images_on_sheet
from models.trainer import Trainer
from models.unet import UNet
from tests.models.runs import run_on, state_of, tiny_run, trainer_of
from tests.models.tiny import same


def test_the_sheet_is_drawn_from_the_given_weights_and_always_alike(garments: Tensor) -> None:
    trainer = trainer_of(tiny_run())
    run_on(trainer, garments, 3)
    average, raw = trainer.ema.state_dict(), trainer.net.state_dict()
    sheet = draw_samples(trainer, average)
    assert sheet.shape == (36, 1, 8, 8)
    assert torch.equal(sheet, draw_samples(trainer, average))
    assert not torch.equal(sheet, draw_samples(trainer, raw))


def test_drawing_changes_nothing_of_the_run(garments: Tensor) -> None:
    trainer, left_alone = (trainer_of(tiny_run(network={"dropout": 0.3})) for _ in range(2))
    for each in (trainer, left_alone):
        run_on(each, garments, 2)
    draw_samples(trainer, trainer.ema.state_dict())
    assert trainer.net.training
    assert run_on(trainer, garments, 2) == run_on(left_alone, garments, 2)
    assert same(state_of(trainer), state_of(left_alone))


def evaluations(trainer: Trainer) -> list[tuple[int, torch.dtype]]:
    """Of the network while a sheet is drawn: rows, and the precision of what it says."""
    seen = list[tuple[int, torch.dtype]]()

    def look(module: nn.Module, _given: Any, out: Any) -> None:
        if isinstance(module, UNet):
            seen.append((len(out), out.dtype))

    hook = register_module_forward_hook(look)
    try:
        draw_samples(trainer, trainer.ema.state_dict())
    finally:
        hook.remove()
    return seen


def test_no_more_is_drawn_at_a_time_than_is_trained_on_and_in_the_same_precision() -> None:
    steps = 4  # of a chain of four
    seen = evaluations(trainer_of(tiny_run(batch=16, accumulate=2, autocast="bfloat16")))
    assert seen == [(8, torch.bfloat16)] * 4 * steps + [(4, torch.bfloat16)] * steps
    assert evaluations(trainer_of(tiny_run(batch=64))) == [(36, torch.float32)] * steps


@pytest.mark.parametrize(
    ("size_px", "images"), [(8, 36), (28, 36), (64, 36), (128, 16), (256, 9), (512, 9)]
)
def test_of_larger_images_there_are_fewer(size_px: int, images: int) -> None:
    assert images_on_sheet(size_px) == images


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_sheet_is_drawn_on_the_trainers_device() -> None:
    trainer = Trainer(tiny_run(), torch.device("cuda"))
    drawn = draw_samples(trainer, trainer.ema.state_dict())
    assert torch.allclose(drawn, draw_samples(trainer_of(tiny_run()), _on_cpu(trainer)), atol=1e-2)


def _on_cpu(trainer: Trainer) -> dict[str, Tensor]:
    return {name: weight.cpu() for name, weight in trainer.ema.state_dict().items()}
