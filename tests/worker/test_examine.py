"""What is found out about a precision, when it is kept, and what a bad one leads to."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.plan import ddim_plan
from models.sampling_net import SamplingNet, use_precision
from models.schedule import linear_schedule
from models.unet import UNet
from tests.conftest import TINY
from worker.examine import eps_error, examine, in_float32
from worker.fingerprint import Numerics, Precision, resolve
from worker.resident import load_resident
from worker.settings import WorkerSettings

PLAN = ddim_plan(linear_schedule(), 10)


@pytest.fixture(scope="module")
def checkpoint(tiny_model: Path) -> Checkpoint:
    return load_checkpoint(tiny_model)


def numerics(precision: Precision) -> Numerics:
    return resolve(device="cpu", threads=1, pixels=64, precision=precision)


def nets(net: UNet, precision: str) -> tuple[SamplingNet, SamplingNet]:
    reduced = SamplingNet(net, 1000, device="cpu", precision=precision)
    return reduced, SamplingNet(net, 1000, device="cpu")


def biased(value: float) -> UNet:
    net = UNet(TINY)
    assert net.conv_out.bias is not None
    torch.nn.init.constant_(net.conv_out.bias, value)
    return net


def test_a_reduced_precision_is_near_and_float32_is_exact(checkpoint: Checkpoint) -> None:
    assert 0.0005 < eps_error(*nets(checkpoint.net, "bfloat16"), PLAN) < 0.02
    assert eps_error(*nets(checkpoint.net, "float32"), PLAN) == 0.0


def test_float32_is_float32_also_where_the_process_computes_in_tf32() -> None:
    switches = torch.backends.cudnn
    on_a_gpu = replace(numerics("float32"), device="cuda", precision="tf32")
    use_precision("tf32", "cuda")
    try:
        exact = in_float32(lambda x_t, t, y: x_t + switches.allow_tf32, on_a_gpu)
        zero = torch.zeros(1)
        assert exact(zero, zero, zero) == 0.0
        assert switches.allow_tf32
    finally:
        use_precision("float32", "cuda")


def test_another_network_is_far_and_no_number_is_farthest(checkpoint: Checkpoint) -> None:
    torch.manual_seed(1)
    other = SamplingNet(UNet(TINY), 1000, device="cpu")
    exact = SamplingNet(checkpoint.net, 1000, device="cpu")
    assert eps_error(other, exact, PLAN) > 0.1
    broken = biased(float("nan"))
    assert eps_error(SamplingNet(broken, 1000, device="cpu"), exact, PLAN) == float("inf")


def test_a_finding_is_made_once_and_kept_by_fingerprint(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    found = examine(checkpoint, numerics("bfloat16"), tmp_path)
    [kept] = (tmp_path / "engine").iterdir()
    assert kept.stem == numerics("bfloat16").fingerprint(checkpoint.digest)
    assert examine(checkpoint, numerics("bfloat16"), tmp_path) == found
    kept.write_text(json.dumps({"chunks": [2], "eps_error": 0.5}))
    assert examine(checkpoint, numerics("bfloat16"), tmp_path).chunks == (2,)


def test_a_precision_that_spoils_the_model_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    large = biased(1e6)  # infinite in float16
    folder = tmp_path / "large"
    save_checkpoint(folder, TINY, large.state_dict(), linear_schedule(), card={})
    monkeypatch.setenv("REDIS_URL", "redis://unused")
    settings = WorkerSettings(
        data_dir=tmp_path, model=folder, device="cpu", threads=1, precision="float16"
    )
    assert load_resident(settings).numerics.precision == "float32"
    assert "float16 is off by inf %: float32" in caplog.text
