"""A run's folder: metrics, pictures, the checkpoint, and what a broken sitting leaves behind."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from models.checkpoint import load_checkpoint
from models.trainer import Trainer
from models.training_loop import Diverged, train
from models.training_run import Run
from tests.models.runs import (
    metrics_of,
    pictures_of,
    run_on,
    state_of,
    tiny_run,
    trained,
    trainer_of,
)
from tests.models.tiny import same


def test_a_run_leaves_metrics_a_picture_and_a_checkpoint(garments: Tensor, tmp_path: Path) -> None:
    trainer = trained(tmp_path, garments, tiny_run())
    lines = metrics_of(tmp_path)
    assert [line["images"] for line in lines] == [32, 64, 96]
    assert all(line["loss"] > 0 and line["images_per_s"] > 0 for line in lines)
    with Image.open(tmp_path / "samples" / "000000096.png") as picture:
        assert (picture.size, picture.mode) == ((6 * 8, 6 * 8), "L")
    assert not list(tmp_path.rglob("*.part"))
    assert same(load_checkpoint(tmp_path / "checkpoint").net.state_dict(), trainer.ema.state_dict())


def test_the_checkpoint_says_what_it_is(garments: Tensor, tmp_path: Path) -> None:
    trained(tmp_path, garments, tiny_run())
    loaded = load_checkpoint(tmp_path / "checkpoint")
    assert loaded.card["name"] == "tiny"
    assert loaded.card["ema"] is True
    assert loaded.card["images_seen"] == loaded.card["images_in_all"] == 96
    assert loaded.card["training_s"] == loaded.card["training_s_in_all"]
    assert loaded.card["config"]["batch"] == 8
    assert loaded.card["sha256"] == loaded.sha256
    assert (loaded.schedule.T, loaded.defaults.variance) == (4, "fixed_small")


def test_a_colour_run_leaves_a_colour_picture(tmp_path: Path) -> None:
    noise = torch.randint(256, (16, 3, 8, 8), generator=torch.Generator(), dtype=torch.uint8)
    channels = {"in_channels": 3, "out_channels": 3}
    trained(tmp_path, noise, tiny_run(network=channels, images=8))
    with Image.open(tmp_path / "samples" / "000000008.png") as picture:
        assert picture.mode == "RGB"


def test_exports_come_as_often_as_asked_and_do_not_change_the_run(
    garments: Tensor, tmp_path: Path
) -> None:
    often = trained(tmp_path / "often", garments, tiny_run(), save_every=20, export_every=30)
    seldom = trained(tmp_path / "seldom", garments, tiny_run(), save_every=96)
    assert same(state_of(often), state_of(seldom))
    assert [line["images"] for line in metrics_of(tmp_path / "often")] == [24, 48, 72, 96]
    assert pictures_of(tmp_path / "often") == ["000000048", "000000072", "000000096"]
    assert pictures_of(tmp_path / "seldom") == ["000000096"]


@pytest.mark.parametrize("last", ['{"images": 64, "loss": 0.5}\n', '{"images": 64, "lo'])
def test_resuming_drops_the_metrics_of_what_was_lost(
    garments: Tensor, tmp_path: Path, last: str
) -> None:
    """A line, or half of one, beyond the last state."""
    trainer = trainer_of(tiny_run())
    run_on(trainer, garments, 4)
    Run(tmp_path, "tiny").save(trainer, {"images": 32, "loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(last)
    trained(tmp_path, garments, tiny_run())
    assert [line["images"] for line in metrics_of(tmp_path)] == [32, 64, 96]


def test_a_line_whose_state_was_never_saved_comes_again(garments: Tensor, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"images": 32, "loss": 0.5}\n')
    trained(tmp_path, garments, tiny_run())
    assert [line["images"] for line in metrics_of(tmp_path)] == [32, 64, 96]


def test_who_dies_drawing_loses_no_training_and_does_not_die_there_again(
    garments: Tensor, tmp_path: Path
) -> None:
    """The sheet that was not finished comes with the next save."""
    often: dict[str, Any] = {"save_every": 24, "export_every": 48}
    run = Run(tmp_path, "tiny")
    (tmp_path / "samples").rmdir()  # what is drawn cannot be written
    with pytest.raises(FileNotFoundError):
        train(trainer_of(tiny_run()), garments, run, **often)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["images_seen"] == 48
    assert load_checkpoint(tmp_path / "checkpoint").card["images_seen"] == 48
    resumed = trained(tmp_path, garments, tiny_run(), **often)
    assert pictures_of(tmp_path) == ["000000072", "000000096"]
    unbroken = trained(tmp_path / "unbroken", garments, tiny_run(), **often)
    assert same(state_of(resumed), state_of(unbroken))
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("broken", ["loss", "weights"])
def test_a_diverged_run_stops_before_it_saves(
    garments: Tensor, tmp_path: Path, broken: str
) -> None:
    trained(tmp_path, garments, tiny_run(images=32))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    trainer, run = trainer_of(tiny_run()), Run(tmp_path, "tiny")
    run.resume(trainer)
    name = {"loss": "conv_in.weight", "weights": "conv_out.bias"}[broken]
    moments = trainer.adam.state[trainer.net.get_parameter(name)]
    moments["exp_avg"].fill_(torch.inf)  # of which one step makes weights that are none
    interval = {"loss": 16, "weights": 8}[broken]  # the first step's loss is of good weights
    with pytest.raises(Diverged, match=r"diverged: .* after \d+ images, the last at .* 0\.002;"):
        train(trainer, garments, run, save_every=interval, export_every=8)
    assert trainer.images_seen == 32 + interval
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def overflowing(trainer: Trainer, *, at: range) -> Trainer:
    """Its network's outputs are too large for a float while it has seen so many images."""
    net = trainer.forward

    def forward(x_t: Tensor, t: Tensor) -> Tensor:
        return net(x_t, t) * (torch.inf if trainer.images_seen in at else 1.0)

    trainer.forward = forward
    return trainer


def test_in_float16_a_step_that_overflows_is_left_out(garments: Tensor, tmp_path: Path) -> None:
    trainer = overflowing(trainer_of(tiny_run(autocast="float16")), at=range(8, 16))
    train(trainer, garments, Run(tmp_path, "tiny"), save_every=32, export_every=96)
    assert trainer.finite()
    assert [line["loss"] > 0 for line in metrics_of(tmp_path)] == [True, True, True]


@pytest.mark.parametrize(
    ("autocast", "at"), [("float16", range(32, 64)), ("bfloat16", range(40, 48))]
)
def test_where_no_step_is_left_or_none_is_left_out_it_has_diverged(
    garments: Tensor, tmp_path: Path, autocast: str, at: range
) -> None:
    trainer = overflowing(trainer_of(tiny_run(autocast=autocast)), at=at)
    with pytest.raises(Diverged, match="diverged: loss nan after 64 images"):
        train(trainer, garments, Run(tmp_path, "tiny"), save_every=32, export_every=96)
    assert [line["images"] for line in metrics_of(tmp_path)] == [32]


def test_a_run_that_ends_in_its_last_export_exports_when_started_again(
    garments: Tensor, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint").touch()  # where a folder should be
    with pytest.raises(NotADirectoryError):
        trained(tmp_path, garments, tiny_run())
    (tmp_path / "checkpoint").unlink()
    trained(tmp_path, garments, tiny_run())
    assert load_checkpoint(tmp_path / "checkpoint").card["images_seen"] == 96
    assert [line["images"] for line in metrics_of(tmp_path)] == [32, 64, 96]


def test_a_finished_run_has_nothing_left_to_do(garments: Tensor, tmp_path: Path) -> None:
    done = trained(tmp_path, garments, tiny_run())
    state = (tmp_path / "state.pt").read_bytes()
    again = trained(tmp_path, garments, tiny_run())
    assert same(state_of(done), state_of(again))
    assert (tmp_path / "state.pt").read_bytes() == state
    assert len(metrics_of(tmp_path)) == 3
