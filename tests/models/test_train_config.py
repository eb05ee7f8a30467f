"""A run's configuration: read from TOML, refused by name; the learning rate that it asks for."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.resuming import flat
from models.train_config import CONFIGS, Optimiser, read_config
from models.unet import UNet
from tests.models.tiny import tiny_config

TOML = """\
data = "garments.npz"
T = 4

[network]
sample_size = 8
in_channels = 1
out_channels = 1
block_out_channels = [8, 16]
layers_per_block = 1
attention = [false, true]
norm_num_groups = 4

[optimiser]
batch = 16
images = 960
learning_rate = 2e-3
warmup_images = 160
decay_from = 0.5
ema_decay = 0.9
autocast = "bfloat16"
seed = 3

[card]
licence = "none"
"""


HYBRID = 'variance = "learned_range"\nloss = "hybrid"'


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TOML)
    return path


def rates(*at: int, **changes: Any) -> list[float]:
    given: dict[str, Any] = {"batch": 10, "images": 1000, "learning_rate": 0.5}
    optimiser = Optimiser(**(given | changes))
    return [optimiser.rate_at(images) for images in at]


def test_the_rate_warms_up_stays_and_falls_linearly_to_zero() -> None:
    warmup = rates(0, 40, 90, 100, warmup_images=100, decay_from=0.6)
    plateau = rates(200, 599, 600, warmup_images=100, decay_from=0.6)
    decay = rates(700, 800, 990, 1000, 2000, warmup_images=100, decay_from=0.6)
    assert warmup == pytest.approx([0.05, 0.25, 0.5, 0.5])
    assert plateau == pytest.approx([0.5, 0.5, 0.5])
    assert decay == pytest.approx([0.375, 0.25, 0.0125, 0.0, 0.0])


def test_without_warm_up_or_decay_the_rate_is_constant() -> None:
    assert rates(0, 10, 500, 990) == [0.5] * 4


def test_a_configuration_is_read_from_a_file(config_file: Path) -> None:
    read = read_config(str(config_file))
    assert read.network == tiny_config()
    assert read.optimiser == Optimiser(
        batch=16,
        images=960,
        learning_rate=2e-3,
        warmup_images=160,
        decay_from=0.5,
        ema_decay=0.9,
        autocast="bfloat16",
        seed=3,
    )
    assert (read.data, read.T, read.variance) == ("garments.npz", 4, "fixed_small")
    assert read.card == {"licence": "none"}


@pytest.mark.parametrize("path", list(CONFIGS.glob("*.toml")), ids=lambda p: p.stem)
def test_every_configuration_that_ships_can_be_read_by_name(path: Path) -> None:
    assert read_config(path.stem) == read_config(str(path))


@pytest.mark.parametrize(
    ("line", "replacement", "named"),
    [
        ("T = 4", "T = 4\nlearning_rat = 1", "learning_rat"),
        ("seed = 3", "sead = 3", "sead"),
        ("layers_per_block = 1", "layers = 1", "layers"),
        ("batch = 16\n", "", "batch"),
        ("sample_size = 8\n", "", "sample_size"),
        ("attention = [false, true]\n", "", "attention"),
        ('data = "garments.npz"\n', "", "data"),
        ("[optimiser]", "[optimizer]", "optimi[sz]er"),
        ("T = 4", "T = ", "line 2"),
        ("norm_num_groups = 4", "norm_num_groups = 3", "norm_num_groups"),
        ('autocast = "bfloat16"', 'autocast = "bf16"', "autocast"),
        ("T = 4", 'T = 4\nvariance = "learned"', "variance"),
        ("T = 4", "T = 0", "T"),
        ("T = 4", 'T = 4\nschedule = "quadratic"', "schedule"),
        ("T = 4", 'T = 4\nprediction = "eps"', "prediction"),
        ("T = 4", "T = 4\nbeta_end = 1.0", "beta_end"),
        ("T = 4", 'T = 4\nloss = "bound"\nprediction = "sample"', "loss"),
        ("T = 4", 'T = 1\nloss = "vlb"', "loss: the bound is one of T > 1"),
        ("T = 4", 'T = 4\nloss = "hybrid"', "loss: hybrid is for variance learned_range"),
        ("T = 4", 'T = 4\nvariance = "learned_range"', "loss: simple teaches no variance"),
        ("T = 4", f"T = 4\n{HYBRID}", "out_channels: 1; learned_range needs 2"),
        ("out_channels = 1", "out_channels = 2", "out_channels: 2; fixed_small needs 1"),
        ("batch = 16", "batch = 0", "batch"),
        ("batch = 16", 'batch = "16"', "batch"),
        ("images = 960", "images = 0", "images"),
        ("ema_decay = 0.9", "ema_decay = 1.5", "ema_decay"),
        ("decay_from = 0.5", "decay_from = 2", "decay_from"),
        ("learning_rate = 2e-3", "learning_rate = -1.0", "learning_rate"),
        ("seed = 3", "label_dropout = 1.0", "label_dropout"),
        ("T = 4", 'T = 4\nlabels = ["a", "b"]', "num_class_embeds"),
        ("sample_size = 8", "sample_size = 8\nnum_class_embeds = 3", "labels"),
    ],
)
def test_a_bad_configuration_is_refused_with_file_and_key(
    config_file: Path, line: str, replacement: str, named: str
) -> None:
    assert line in TOML
    config_file.write_text(TOML.replace(line, replacement))
    with pytest.raises(ValueError, match=rf"\b{named}\b") as refused:
        read_config(str(config_file))
    assert str(refused.value).startswith(f"{config_file}: ")


def test_a_missing_configuration_is_named_beside_those_that_ship() -> None:
    with pytest.raises(ValueError, match="no-such-config: no such file, nor one of: .*fashion-mni"):
        read_config("no-such-config")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("cifar10", 35_746_307), ("celebahq-256", 113_673_219), ("lsun-256", 113_673_219)],
)
def test_the_papers_networks_have_their_published_size(name: str, parameters: int) -> None:
    with torch.device("meta"):
        net = UNet(read_config(name).network)
    assert sum(p.numel() for p in net.parameters()) == parameters


PAPERS = {
    "T": 1000,
    "schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "variance": "fixed_small",
    "prediction": "epsilon",
    "loss": "simple",
    "network.sample_size": 256,
    "network.in_channels": 3,
    "network.out_channels": 3,
    "network.block_out_channels": (128, 128, 256, 256, 512, 512),
    "network.layers_per_block": 2,
    "network.attention": (False, False, False, False, True, False),  # at 16x16, and in the middle
    "network.norm_num_groups": 32,
    "network.norm_eps": 1e-6,
    "network.attention_head_dim": None,  # one head
    "network.downsample_padding": 0,  # TensorFlow's SAME
    "network.flip_sin_to_cos": False,
    "network.freq_shift": 1,
    "network.dropout": 0.0,
    "network.num_class_embeds": None,
    "optimiser.batch": 64,
    "optimiser.learning_rate": 2e-5,
    "optimiser.warmup_images": 5_000 * 64,
    "optimiser.decay_from": 1.0,  # the rate never falls
    "optimiser.ema_decay": 0.9999,
    "optimiser.ema_warmup": False,
    "optimiser.grad_clip": 1.0,
    "optimiser.autocast": "float32",
    "optimiser.flip": True,
    "optimiser.label_dropout": 0.0,
}
CIFAR10 = PAPERS | {
    "variance": "fixed_large",
    "network.sample_size": 32,
    "network.block_out_channels": (128, 256, 256, 256),
    "network.attention": (False, True, False, False),  # at 16x16, and in the middle
    "network.dropout": 0.1,
    "optimiser.batch": 128,
    "optimiser.learning_rate": 2e-4,
    "optimiser.warmup_images": 5_000 * 128,
}
OURS = {"data", "labels", "start_from", "optimiser.accumulate", "optimiser.seed"}
OURS.add("network.none_class")  # which no run may change


@pytest.mark.parametrize(
    ("name", "papers"),
    [
        ("cifar10", CIFAR10 | {"optimiser.images": 800_000 * 128}),
        ("celebahq-256", PAPERS | {"optimiser.images": 500_000 * 64}),
        ("lsun-256", PAPERS | {"optimiser.images": 1_200_000 * 64}),
    ],
)
def test_every_hyper_parameter_is_the_papers(name: str, papers: dict[str, Any]) -> None:
    configured = flat(read_config(name))
    for key, value in papers.items():
        assert configured.pop(key) == value, key
    assert {key for key in configured if not key.startswith("card.")} == OURS
