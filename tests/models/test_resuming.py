"""What a run may go on from, and what is refused in one line."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.data import digest_of
from models.resuming import as_json, flat
from models.train_config import TrainConfig
from models.training_run import Run
from tests.models.runs import run_on, tiny_run, trainer_of


def saved(folder: Path, images: Tensor, config: TrainConfig, *, steps: int = 2) -> Path:
    """The state of a run that has come so far."""
    trainer = trainer_of(config)
    run_on(trainer, images, steps)
    Run(folder, "tiny").save(trainer, {"images": trainer.images_seen, "loss": 1.0})
    return folder / "state.pt"


def refusal(state: Path, config: TrainConfig) -> str:
    """The one line; the state stays as it was."""
    before = state.read_bytes()
    with pytest.raises(ValueError, match=str(state)) as refused:
        Run(state.parent, "tiny").resume(trainer_of(config))
    assert state.read_bytes() == before
    assert "\n" not in str(refused.value)
    return str(refused.value)


def resumed_at(state: Path, config: TrainConfig) -> int:
    trainer = trainer_of(config)
    Run(state.parent, "tiny").resume(trainer)
    return trainer.images_seen


def changed(config: TrainConfig, **changes: Any) -> TrainConfig:
    """With other values of the run's own, or of its optimiser, by name."""
    of_run = {key: value for key, value in changes.items() if hasattr(config, key)}
    of_optimiser = {key: value for key, value in changes.items() if key not in of_run}
    return replace(config, optimiser=replace(config.optimiser, **of_optimiser), **of_run)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prediction": "v_prediction"}, "prediction: epsilon in the state, v_prediction now"),
        ({"schedule": "cosine"}, "schedule: linear in the state, cosine now"),
        ({"T": 8}, "T: 4 in the state, 8 now"),
        ({"beta_end": 0.5}, "beta_end: 0.02 in the state, 0.5 now"),
        ({"loss": "bound"}, "loss: simple in the state, bound now"),
        ({"variance": "fixed_large"}, "variance: fixed_small in the state, fixed_large now"),
        ({"start_from": "x"}, "start_from: None in the state, x now"),
        ({"batch": 16}, "optimiser.batch: 8 in the state, 16 now"),
        ({"seed": 1}, "optimiser.seed: 0 in the state, 1 now"),
        ({"learning_rate": 1e-3}, "optimiser.learning_rate: 0.002 in the state, 0.001 now"),
        ({"decay_from": 0.5}, "optimiser.decay_from: 1.0 in the state, 0.5 now"),
        ({"ema_decay": 0.5}, "optimiser.ema_decay: 0.9 in the state, 0.5 now"),
        ({"ema_warmup": False}, "optimiser.ema_warmup: True in the state, False now"),
        ({"flip": True}, "optimiser.flip: False in the state, True now"),
        ({"autocast": "bfloat16"}, "optimiser.autocast: float32 in the state, bfloat16 now"),
        (
            {"grad_clip": 2.0, "T": 2},
            "optimiser.grad_clip: 1.0 in the state, 2.0 now; T: 4 in the state, 2 now",
        ),
    ],
    ids=str,
)
def test_a_run_of_another_configuration_is_refused_by_its_keys(
    garments: Tensor, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    state = saved(tmp_path, garments, tiny_run())
    line = refusal(state, changed(tiny_run(), **changes))
    assert line == f"{state}: of another configuration: {told}; choose another --out"


def test_another_network_is_refused_by_its_keys(garments: Tensor, tmp_path: Path) -> None:
    state = saved(tmp_path, garments, tiny_run())
    wider = tiny_run(network={"block_out_channels": (8, 32), "dropout": 0.1})
    line = refusal(state, wider)
    assert "network.block_out_channels: (8, 16) in the state, (8, 32) now" in line
    assert "network.dropout: 0.0 in the state, 0.1 now" in line


@pytest.mark.parametrize(
    "changes",
    [{"data": "elsewhere.npz"}, {"card": {"licence": "MIT"}}, {"accumulate": 2}, {"images": 4000}],
    ids=str,
)
def test_what_changes_no_step_so_far_may_change(
    garments: Tensor, tmp_path: Path, changes: dict[str, Any]
) -> None:
    state = saved(tmp_path, garments, tiny_run())
    assert resumed_at(state, changed(tiny_run(), **changes)) == 16


def test_states_that_say_nothing_of_their_data_go_on(garments: Tensor, tmp_path: Path) -> None:
    state, trainer = saved(tmp_path, garments, tiny_run()), trainer_of(tiny_run())
    Run(state.parent, "tiny", digest_of(garments)).resume(trainer)
    assert trainer.images_seen == 16


def test_what_is_trained_on_is_told_by_every_pixel_class_and_shape(garments: Tensor) -> None:
    classes, other = torch.zeros(len(garments), dtype=torch.int64), garments.clone()
    other[-1, 0, -1, -1] ^= 1
    kinds = [garments, garments[:-1], garments.flip(0), garments.transpose(0, 1), other]
    told = [digest_of(images) for images in kinds] + [digest_of(garments, classes)]
    told.append(digest_of(garments, classes + torch.eye(1, len(garments)).long()[0]))
    assert len(set(told)) == len(told)
    assert digest_of(garments.clone()) == told[0]


def test_a_run_may_become_longer_until_its_rate_falls(garments: Tensor, tmp_path: Path) -> None:
    config = tiny_run(images=96, decay_from=0.5)
    before = saved(tmp_path / "before", garments, config, steps=6)  # at half of its length
    assert resumed_at(before, changed(config, images=192)) == 48
    after = saved(tmp_path / "after", garments, config, steps=7)
    told = "optimiser.images: 96 in the state, 192 now"
    assert told in refusal(after, changed(config, images=192))
    assert resumed_at(after, config) == 56


def test_a_run_cannot_become_shorter_than_it_is(garments: Tensor, tmp_path: Path) -> None:
    state = saved(tmp_path, garments, tiny_run(images=96), steps=7)
    assert "optimiser.images: 96 in the state, 48 now" in refusal(state, tiny_run(images=48))


def cut(state: Path) -> None:
    state.write_bytes(state.read_bytes()[:-1000])


def half(state: Path) -> None:
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])


def empty(state: Path) -> None:
    state.write_bytes(b"")


def text(state: Path) -> None:
    state.write_text("weights\n")


def tensor(state: Path) -> None:
    torch.save(torch.zeros(3), state)


@pytest.mark.parametrize("broken", [cut, half, empty, text, tensor])
def test_a_broken_state_is_refused_in_one_line(
    garments: Tensor, tmp_path: Path, broken: Any
) -> None:
    state = saved(tmp_path, garments, tiny_run())
    broken(state)
    assert "not a run's state; remove it, or choose another --out" in refusal(state, tiny_run())


def test_a_state_of_old_is_taken_with_a_warning(
    garments: Tensor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = trainer_of(tiny_run())
    run_on(trainer, garments, 2)
    state = tmp_path / "state.pt"
    torch.save({k: v for k, v in trainer.state_dict().items() if k != "past"}, state)
    assert resumed_at(state, tiny_run()) == 16
    assert f"{state}: keeps no configuration" in caplog.text


def test_a_key_the_state_does_not_know_had_its_default(garments: Tensor, tmp_path: Path) -> None:
    state = saved(tmp_path, garments, tiny_run())
    kept = torch.load(state, weights_only=True)
    told = json.loads(kept["config"])
    del told["optimiser"]["ema_warmup"]
    torch.save(kept | {"config": json.dumps(told)}, state)
    assert resumed_at(state, tiny_run()) == 16
    assert "ema_warmup: True in the state" in refusal(state, tiny_run(ema_warmup=False))


def test_a_key_that_only_the_state_knows_is_refused(garments: Tensor, tmp_path: Path) -> None:
    state = saved(tmp_path, garments, tiny_run())
    kept = torch.load(state, weights_only=True)
    told = json.loads(kept["config"]) | {"curriculum": "steep"}
    torch.save(kept | {"config": json.dumps(told)}, state)
    assert "curriculum" in refusal(state, tiny_run())


def test_every_value_has_a_key() -> None:
    keys = flat(tiny_run()).keys()
    assert {"T", "network.attention", "optimiser.images"} <= keys
    told = json.loads(as_json(tiny_run()))
    assert len(keys) == sum(len(v) if isinstance(v, dict) else 1 for v in told.values())
