"""Folders that we write and read again: nothing is lost, and the card tells the weights' hash."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.checkpoint import load_checkpoint, save_checkpoint
from models.diffusers_scheduler import SamplingDefaults
from models.schedule import NoiseSchedule, cosine_schedule, linear_schedule, sigmoid_schedule
from tests.models.folders import CARD, CONFIG, SCHEDULER, WEIGHTS, at_the_root
from tests.models.peer import diffusers
from tests.models.tiny import same, tiny_config, tiny_net


def test_what_is_saved_is_loaded_to_the_bit(folder: Path) -> None:
    loaded = load_checkpoint(folder)
    assert same(loaded.net.state_dict(), tiny_net().state_dict())
    assert loaded.net.config == tiny_config()
    assert not loaded.net.training
    assert (loaded.schedule.beta == linear_schedule().beta).all()
    assert loaded.defaults == SamplingDefaults("fixed_small", 1.0, 0, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"attention_head_dim": 8},
        {"downsample_padding": 1, "flip_sin_to_cos": True, "freq_shift": 0},
        {"norm_eps": 1e-5, "layers_per_block": 2},
        {"in_channels": 3, "out_channels": 3, "sample_size": 16, "norm_num_groups": 8},
        {"block_out_channels": (8, 8, 16), "attention": (True, False, True)},
    ],
    ids=str,
)
def test_every_kind_of_network_comes_back_as_it_was(tmp_path: Path, changes: Any) -> None:
    net = tiny_net(**changes)
    save_checkpoint(tmp_path, net.config, net.state_dict(), linear_schedule())
    loaded = load_checkpoint(tmp_path)
    assert loaded.net.config == net.config
    assert same(loaded.net.state_dict(), net.state_dict())


def test_another_linear_schedule_and_variance_come_back(tmp_path: Path) -> None:
    schedule, weights = linear_schedule(100, start=1e-3, end=0.2), tiny_net().state_dict()
    save_checkpoint(tmp_path, tiny_config(), weights, schedule, variance="fixed_large")
    loaded = load_checkpoint(tmp_path)
    assert (loaded.schedule.beta == schedule.beta).all()
    assert loaded.defaults.variance == "fixed_large"


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("schedule", [cosine_schedule(50), sigmoid_schedule(60, end=0.1)])
def test_schedule_and_prediction_come_back_and_diffusers_reads_them(
    tmp_path: Path, schedule: NoiseSchedule, prediction: Any
) -> None:
    weights = tiny_net().state_dict()
    save_checkpoint(tmp_path, tiny_config(), weights, schedule, prediction=prediction)
    loaded = load_checkpoint(tmp_path)
    assert (loaded.schedule.beta == schedule.beta).all()
    assert loaded.schedule.name == schedule.name
    assert loaded.defaults.prediction == prediction
    theirs = diffusers.DDPMPipeline.from_pretrained(tmp_path).scheduler
    assert theirs.config.prediction_type == prediction
    assert theirs.betas.double().numpy() == pytest.approx(schedule.beta, rel=2e-4)


def test_weights_of_half_precision_are_kept_as_float32(tmp_path: Path) -> None:
    half = {name: w.bfloat16() for name, w in tiny_net().state_dict().items()}
    save_checkpoint(tmp_path, tiny_config(), half, linear_schedule())
    loaded = load_checkpoint(tmp_path).net.state_dict()
    assert same(loaded, {name: w.float() for name, w in half.items()})


def test_the_checkpoint_and_its_card_carry_the_hash_of_the_weights(folder: Path) -> None:
    sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    loaded = load_checkpoint(folder)
    assert loaded.sha256 == sha256
    assert loaded.card == {"name": "tiny", "licence": "none", "sha256": sha256}
    (folder / CARD).unlink()
    assert load_checkpoint(folder).card == {}


def test_saving_again_replaces_weights_and_card_and_leaves_nothing_over(folder: Path) -> None:
    before = load_checkpoint(folder)
    weights = tiny_net(seed=9).state_dict()
    save_checkpoint(folder, tiny_config(), weights, linear_schedule(), card={"name": "second"})
    after = load_checkpoint(folder)
    assert same(after.net.state_dict(), weights)
    assert after.sha256 != before.sha256
    assert after.card == {"name": "second", "sha256": after.sha256}
    files = {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}
    assert files == {CONFIG, SCHEDULER, WEIGHTS, CARD, Path("model_index.json")}


def test_files_at_the_root_are_the_same_checkpoint(folder: Path) -> None:
    loaded = load_checkpoint(at_the_root(folder))
    assert same(loaded.net.state_dict(), tiny_net().state_dict())
    assert loaded.card["name"] == "tiny"


def test_the_files_can_be_read_by_whoever_may_read_new_files(folder: Path) -> None:
    (folder / "new").touch()
    expected = (folder / "new").stat().st_mode
    assert {(folder / path).stat().st_mode for path in (CONFIG, SCHEDULER, WEIGHTS)} == {expected}


def test_a_digest_is_of_all_that_decides_a_pixel(tmp_path: Path) -> None:
    """Equal weights that mean something else are another model; where they lie does not matter."""
    config, weights = tiny_config(), tiny_net().state_dict()
    others: list[dict[str, Any]] = [
        {"config": replace(config, flip_sin_to_cos=not config.flip_sin_to_cos)},
        {"schedule": linear_schedule(end=0.021)},
        {"schedule": linear_schedule(999)},
        {"prediction": "v_prediction"},
        {"variance": "fixed_large"},
        {"weights": {name: tensor + 1e-3 for name, tensor in weights.items()}},
        {},
        {"card": {"name": "another"}},
    ]
    own: dict[str, Any] = {"config": config, "weights": weights, "schedule": linear_schedule()}
    digests = []
    for number, changes in enumerate(others):
        save_checkpoint(tmp_path / str(number), **(own | changes))
        digests.append(load_checkpoint(tmp_path / str(number)).digest)
    assert len(set(digests)) == 7
    assert digests[-1] == digests[-2]
