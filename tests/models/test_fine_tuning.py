"""A run that begins with the weights of a trained network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.diffusers_config import CheckpointError
from models.fine_tuning import CLASS_SCALE, begin_with
from models.schedule import linear_schedule
from models.train import main
from models.trainer import Trainer
from tests.models.runs import run_on, tiny_run, trainer_of
from tests.models.test_train_command import config_file as config_file
from tests.models.test_train_command import with_labels
from tests.models.tiny import same, tiny_config, tiny_net

KINDS = ("a", "b", "c")


def start(folder: Path, T: int = 4, **network: Any) -> Checkpoint:  # noqa: N803
    """A trained network; its chain is that of `tiny_run`."""
    net = tiny_net(seed=7, **network)
    save_checkpoint(folder, tiny_config(**network), net.state_dict(), linear_schedule(T))
    return load_checkpoint(folder)


def by_class() -> Trainer:
    return trainer_of(tiny_run(network={"num_class_embeds": 4}, labels=KINDS))


def test_a_run_begins_with_weights_and_average_of_the_checkpoint(tmp_path: Path) -> None:
    trainer, checkpoint = trainer_of(tiny_run()), start(tmp_path)
    begin_with(trainer, checkpoint)
    assert same(dict(trainer.net.state_dict()), dict(checkpoint.net.state_dict()))
    assert same(trainer.ema.state_dict(), dict(checkpoint.net.state_dict()))


def test_classes_start_at_random_and_apart(tmp_path: Path) -> None:
    trainer, checkpoint = by_class(), start(tmp_path)
    begin_with(trainer, checkpoint)
    rows = trainer.net.state_dict()["class_embedding.weight"]
    assert rows.std() == pytest.approx(CLASS_SCALE, rel=0.3)
    assert len(rows.unique(dim=0)) == 4
    again = by_class()
    begin_with(again, checkpoint)
    assert torch.equal(rows, again.net.state_dict()["class_embedding.weight"])


def test_a_run_without_classes_begins_with_what_is_drawn_for_none(tmp_path: Path) -> None:
    trainer, checkpoint = trainer_of(tiny_run()), start(tmp_path, num_class_embeds=4)
    begin_with(trainer, checkpoint)
    x_t, t = torch.randn(3, *checkpoint.net.config.image_shape), torch.tensor([0, 1, 3])
    with torch.no_grad():
        as_none = checkpoint.net(x_t, t, torch.full((3,), 3))
        assert torch.allclose(trainer.net(x_t, t), as_none, rtol=0, atol=1e-5)


def test_other_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="start_from: num_class_embeds: 5, but the run's 4"):
        begin_with(by_class(), start(tmp_path, num_class_embeds=5))


@pytest.mark.parametrize(
    "network",
    [
        {"attention_head_dim": 8},
        {"norm_eps": 1e-5},
        {"flip_sin_to_cos": True},
        {"freq_shift": 0},
        {"downsample_padding": 1},
        {"norm_num_groups": 8},
        {"layers_per_block": 2},
    ],
    ids=str,
)
def test_a_network_that_computes_something_else_is_refused_by_key(
    tmp_path: Path, network: dict[str, Any]
) -> None:
    ((key, value),) = network.items()
    own = getattr(tiny_config(), key)
    with pytest.raises(CheckpointError) as refused:
        begin_with(trainer_of(tiny_run()), start(tmp_path, **network))
    assert str(refused.value) == f"start_from: {key}: {value}, but the run's {own}"


def test_dropout_and_the_images_size_may_be_others(tmp_path: Path) -> None:
    trainer = trainer_of(tiny_run(network={"dropout": 0.1, "sample_size": 16}))
    begin_with(trainer, checkpoint := start(tmp_path))
    assert same(dict(trainer.net.state_dict()), dict(checkpoint.net.state_dict()))


def test_features_serve_a_run_that_predicts_something_else(tmp_path: Path) -> None:
    trainer = trainer_of(replace(tiny_run(), prediction="v_prediction"))
    begin_with(trainer, checkpoint := start(tmp_path))
    assert same(dict(trainer.net.state_dict()), dict(checkpoint.net.state_dict()))


def test_classes_are_learned_from_there(tmp_path: Path, garments: Tensor) -> None:
    trainer = by_class()
    begin_with(trainer, start(tmp_path))
    run_on(trainer, garments, 3, torch.arange(len(garments)) % 3)
    embedded = trainer.net.state_dict()["class_embedding.weight"]
    assert len(embedded[:3].unique(dim=0)) == 3


@pytest.mark.parametrize("change", [{"schedule": "cosine"}, {"T": 5}, {"beta_end": 0.03}], ids=str)
def test_another_schedule_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    trainer = trainer_of(replace(tiny_run(), **change))
    with pytest.raises(CheckpointError, match="start_from: was trained on another schedule"):
        begin_with(trainer, start(tmp_path))


def test_the_command_starts_from_it_once_and_says_so_in_the_card(
    config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = config_file.parent / "start"
    start(folder)
    path = with_labels(config_file, [0, 1, 2])
    text = Path(path).read_text().replace("learning_rate = 2e-3", "learning_rate = 1e-9")
    Path(path).write_text(f'start_from = "{folder}"\n{text}')
    out = str(config_file.parent / "run")
    assert main([path, "--out", out]) == 0
    trained = load_checkpoint(config_file.parent / "run" / "checkpoint")
    assert trained.card["start_from"] == str(folder)
    for name, weight in load_checkpoint(folder).net.state_dict().items():
        assert torch.allclose(weight, trained.net.state_dict()[name], rtol=0, atol=1e-6), name
    (folder / "unet" / "config.json").unlink()
    assert main([path, "--out", out]) == 0, "a run under way does not need it any more"


def second_leg(config_file: Path, card: dict[str, Any] | None) -> dict[str, Any]:
    """The card of a run of 32 images in two sittings, from a checkpoint with a given card."""
    folder, out = config_file.parent / "start", config_file.parent / "run"
    net = tiny_net(seed=7)
    save_checkpoint(folder, tiny_config(), net.state_dict(), linear_schedule(4), card=card)
    text = config_file.read_text().replace("decay_from = 0.5\n", "").replace("= 960", "= {images}")
    for images in (16, 32):
        config_file.write_text(f'start_from = "{folder}"\n' + text.format(images=images))
        assert main([str(config_file), "--out", str(out)]) == 0
    found = load_checkpoint(out / "checkpoint").card
    assert found["images_seen"] == 32, "its own leg"
    return found


@pytest.mark.parametrize(
    ("card", "images", "seconds"),
    [
        ({"images_seen": 500, "training_s": 70}, 532, 70),
        (
            {
                "images_seen": 500,
                "training_s": 70,
                "start_from": "x",
                "images_in_all": 900,
                "training_s_in_all": 100,
            },
            932,
            100,
        ),
    ],
    ids=["from nothing", "itself a second leg"],
)
def test_the_card_counts_all_that_the_weights_have_learned_from(
    config_file: Path, card: dict[str, Any], images: int, seconds: int
) -> None:
    found = second_leg(config_file, card)
    assert found["images_in_all"] == images
    assert found["training_s_in_all"] == pytest.approx(seconds + found["training_s"], abs=1)


@pytest.mark.parametrize(
    "card",
    [
        None,
        {"name": "a stranger's"},
        {"images_seen": "many", "training_s": 1},
        {"images_seen": 500, "training_s": 70, "start_from": "x"},  # of which nobody knows
    ],
    ids=str,
)
def test_a_card_is_silent_about_a_past_that_nobody_knows(
    config_file: Path, card: dict[str, Any] | None
) -> None:
    found = second_leg(config_file, card)
    assert not {"images_in_all", "training_s_in_all"} & found.keys()


def test_a_start_that_is_not_there_is_refused(
    config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config_file.write_text('start_from = "/nowhere"\n' + config_file.read_text())
    assert main([str(config_file), "--out", str(config_file.parent / "run")]) == 2
    assert "/nowhere" in caplog.text
