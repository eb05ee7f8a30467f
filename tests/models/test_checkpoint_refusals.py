"""What cannot be read is refused in one line that names the file, and the key."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.checkpoint import load_checkpoint
from models.diffusers_config import FIXED_UNET_OPTIONS
from models.diffusers_scheduler import FIXED_SCHEDULER_OPTIONS
from tests.models.folders import CARD, CONFIG, SCHEDULER, WEIGHTS, at_the_root, edit, refusal

REQUIRED_UNET_KEYS = [
    *("sample_size", "in_channels", "out_channels", "block_out_channels", "layers_per_block"),
    *("down_block_types", "up_block_types", "norm_num_groups", "norm_eps", "attention_head_dim"),
    *("downsample_padding", "flip_sin_to_cos", "freq_shift"),
]
REQUIRED = [(CONFIG, key) for key in REQUIRED_UNET_KEYS] + [
    (SCHEDULER, key) for key in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")
]
FIXED = [(CONFIG, key) for key in FIXED_UNET_OPTIONS] + [
    (SCHEDULER, key) for key in FIXED_SCHEDULER_OPTIONS
]


@pytest.mark.parametrize(("path", "key"), REQUIRED, ids=str)
def test_a_missing_key_is_never_guessed(folder: Path, path: Path, key: str) -> None:
    edit(folder / path, **{key: ...})
    assert f"{folder / path}: {key}: missing" in refusal(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("beta_schedule", "scaled_linear"), ("prediction_type", "flow"), ("variance_type", "learned")],
)
def test_a_schedule_or_target_that_we_do_not_have_is_refused(
    folder: Path, key: str, value: str
) -> None:
    edit(folder / SCHEDULER, **{key: value})
    assert f"{folder / SCHEDULER}: {key}" in refusal(folder)


@pytest.mark.parametrize(("path", "key"), FIXED, ids=str)
def test_an_option_that_we_do_not_have_is_refused(folder: Path, path: Path, key: str) -> None:
    edit(folder / path, **{key: "other"})
    assert f"{folder / path}: {key}: 'other' is not supported" in refusal(folder)


def test_a_key_that_we_do_not_know_is_refused(folder: Path) -> None:
    edit(folder / CONFIG, _name_or_path="anywhere", use_linear_projection=True)
    assert f"{folder / CONFIG}: use_linear_projection: not known" in refusal(folder)


def test_a_scheduler_s_key_that_we_do_not_know_is_refused(folder: Path) -> None:
    edit(folder / SCHEDULER, _anything=1, solver_order=3, beta_shift=0.1)
    assert f"{folder / SCHEDULER}: beta_shift: not known" in refusal(folder)


@pytest.mark.parametrize("name", ["ScoreSdeVeScheduler", "LCMScheduler", "os.system", 5])
def test_a_scheduler_of_another_chain_is_refused(folder: Path, name: Any) -> None:
    edit(folder / SCHEDULER, _class_name=name)
    assert refusal(folder) == f"{folder / SCHEDULER}: _class_name: {name!r} is not supported"


def test_a_long_value_is_not_told_whole(folder: Path) -> None:
    edit(folder / SCHEDULER, trained_betas=[0.01] * 1000)
    assert f"{folder / SCHEDULER}: trained_betas: [0.01, 0.01" in refusal(folder)
    assert len(refusal(folder)) < len(str(folder)) + 200


@pytest.mark.parametrize("part", ["vqvae", "text_encoder"])
def test_a_pipeline_of_more_than_a_network_is_refused(folder: Path, part: str) -> None:
    index = folder / "model_index.json"
    edit(index, **{part: ["diffusers", "VQModel"]})
    assert refusal(folder) == f"{index}: {part}: a pipeline of more than a U-Net is not supported"
    edit(index, **{part: [None, None]})
    load_checkpoint(folder)


@pytest.mark.parametrize("labels", [None, 3, "shirt", ["shirt", 3]])
def test_a_card_whose_labels_are_none_is_refused(folder: Path, labels: Any) -> None:
    edit(folder / CARD, labels=labels)
    assert refusal(folder) == f"{folder / CARD}: labels: must be a list of names"


def test_a_card_tells_the_weights_that_are_there(folder: Path) -> None:
    edit(folder / CARD, sha256="0" * 64)
    loaded = load_checkpoint(folder)
    assert loaded.card["sha256"] == loaded.sha256


@pytest.mark.parametrize(
    "claimed",
    [
        {"block_out_channels": [2**40, 2**40]},
        {"num_class_embeds": 2**50},
        {"in_channels": 2**50, "out_channels": 2**50},
    ],
    ids=str,
)
def test_a_network_that_is_only_claimed_takes_no_memory(folder: Path, claimed: Any) -> None:
    edit(folder / CONFIG, **claimed)
    assert refusal(folder).startswith(f"{folder / WEIGHTS}: does not fit its config.json: ")


def test_a_folder_that_may_not_be_entered_is_named(tmp_path: Path) -> None:
    endless = tmp_path / ("x" * 300)
    assert refusal(endless) == f"{endless}: cannot be read: File name too long"


def test_every_key_that_we_write_is_required_or_has_one_value(folder: Path) -> None:
    written = set(json.loads((folder / CONFIG).read_text()))
    known = set(REQUIRED_UNET_KEYS) | set(FIXED_UNET_OPTIONS)
    others = {"_class_name", "_diffusers_version", "num_class_embeds", "dropout"}
    assert written == known | others


def test_dropout_is_of_training_alone(folder: Path) -> None:
    edit(folder / CONFIG, dropout=0.1)
    assert load_checkpoint(folder).net.config.dropout == 0.0


@pytest.mark.parametrize("value", [0, -1, "ten", 2.5, True])
def test_a_number_of_classes_that_is_none_is_refused(folder: Path, value: Any) -> None:
    edit(folder / CONFIG, num_class_embeds=value)
    assert f"{folder / CONFIG}: num_class_embeds" in refusal(folder)


def test_a_folder_from_before_there_were_classes_has_none(folder: Path) -> None:
    raw = json.loads((folder / CONFIG).read_text())
    del raw["num_class_embeds"]
    (folder / CONFIG).write_text(json.dumps(raw))
    assert load_checkpoint(folder).net.config.num_class_embeds is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("down_block_types", ["ResnetDownsampleBlock2D", "DownBlock2D"]),
        ("down_block_types", "DownBlock2D"),
        ("up_block_types", ["UpBlock2D", "SkipUpBlock2D"]),
        ("up_block_types", ["UpBlock2D", "AttnUpBlock2D"]),  # not the mirror of the way down
        ("sample_size", "8"),
        ("sample_size", [8, 16]),
        ("sample_size", [8]),
        ("sample_size", ["8", "8"]),
        ("sample_size", [True, True]),
        ("sample_size", True),
        ("sample_size", 7),
        ("norm_eps", None),
        ("flip_sin_to_cos", 0),
        ("attention_head_dim", 8.0),
        ("attention_head_dim", 5),
        ("norm_num_groups", 3),
        ("norm_num_groups", 0),
        ("in_channels", 0),
        ("layers_per_block", 10**9),
        ("out_channels", 2),  # a learned variance
        ("block_out_channels", ["8", "16"]),
        ("down_block_types", [{}, "DownBlock2D"]),
    ],
)
def test_a_value_that_makes_no_network_is_refused(folder: Path, key: str, value: Any) -> None:
    edit(folder / CONFIG, **{key: value})
    message = refusal(folder)
    assert message.startswith(f"{folder / CONFIG}: ")
    assert key in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("beta_start", 0.0),
        ("beta_end", 1.0),
        ("beta_end", "0.02"),
        ("num_train_timesteps", 0),
        ("variance_type", "learned"),
        ("clip_sample", "no"),
        ("clip_sample_range", "wide"),
        ("clip_sample_range", 0.0),
        ("steps_offset", "1"),
        ("steps_offset", -1),
        ("steps_offset", 5000),
        ("timestep_spacing", "karras"),
        ("set_alpha_to_one", 0),
    ],
)
def test_a_value_that_makes_no_chain_is_refused(folder: Path, key: str, value: Any) -> None:
    edit(folder / SCHEDULER, **{key: value})
    assert refusal(folder).startswith(f"{folder / SCHEDULER}: {key}: ")


@pytest.mark.parametrize("path", [CONFIG, SCHEDULER, WEIGHTS], ids=str)
def test_a_missing_file_is_named_in_either_layout(folder: Path, path: Path) -> None:
    content = (folder / path).read_bytes()
    (folder / path).unlink()
    assert refusal(folder) == f"{folder / path}: missing"
    (folder / path).write_bytes(content)
    (at_the_root(folder) / path.name).unlink()
    assert refusal(folder) == f"{folder / path.name}: missing"


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()
    assert refusal(folder) == f"{folder / WEIGHTS}: cannot be read: Is a directory"


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere").startswith(f"{tmp_path / 'nowhere'}/")


@pytest.mark.parametrize("path", [CONFIG, SCHEDULER, CARD], ids=str)
def test_a_file_that_is_not_a_json_object_is_named(folder: Path, path: Path) -> None:
    for content in (b"{", b"", b"\xff\xfe\x00", b'{"a": 1,}', b'{"a":' * 100_000):
        (folder / path).write_bytes(content)
        assert f"{folder / path}: not JSON" in refusal(folder)
    (folder / path).write_text("[1, 2]")
    assert refusal(folder) == f"{folder / path}: expected a JSON object"


@pytest.mark.parametrize("kept", [0, 4, 100, 5_000, -1])
def test_truncated_weights_are_refused(folder: Path, kept: int) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:kept])
    assert f"{path}: not a whole safetensors file" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("conv_in.weight", torch.zeros(8, 3, 3, 3)),  # another shape
        ("mid_block.attentions.0.to_q.bias", None),  # one too few
        ("class_embedding", torch.zeros(3)),  # one too many
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    folder: Path, name: str, weight: torch.Tensor | None
) -> None:
    weights = {k: w for k, w in load_file(folder / WEIGHTS).items() if k != name}
    save_file(weights if weight is None else weights | {name: weight}, folder / WEIGHTS)
    message = refusal(folder)
    assert message.startswith(f"{folder / WEIGHTS}: does not fit its config.json: ")
    assert name in message
