"""Ours into diffusers and diffusers' into ours: the same folder, the same numbers."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.checkpoint import load_checkpoint, save_checkpoint
from models.diffusers_scheduler import SamplingDefaults
from models.samplers import SamplerName, own_sampler
from models.schedule import linear_schedule
from tests.models.folders import SCHEDULER, edit
from tests.models.peer import diffusers, training_utils
from tests.models.tiny import tiny_net

# All that is not named here is UNet2DModel's own default, which is not the paper's.
UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
}


def rows(channels: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(3, channels, 8, 8, generator=torch.Generator())
    return x, torch.tensor([0, 500, 999])


@torch.no_grad()
def test_diffusers_opens_our_folder_and_computes_the_same(folder: Path) -> None:
    pipeline = diffusers.DDPMPipeline.from_pretrained(folder)
    x, t = rows(channels=1)
    ours = load_checkpoint(folder).net(x, t)
    assert torch.allclose(pipeline.unet(x, t).sample, ours, rtol=0, atol=1e-5)
    assert isinstance(pipeline.scheduler, diffusers.DDPMScheduler)
    assert pipeline.scheduler.config.variance_type == "fixed_small"


def test_diffusers_samples_from_our_folder(folder: Path) -> None:
    pipeline = diffusers.DDPMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(batch_size=2, num_inference_steps=3, output_type="np").images
    assert images.shape == (2, 8, 8, 1)
    assert ((images >= 0) & (images <= 1)).all()


@torch.no_grad()
def test_diffusers_opens_a_network_with_classes_that_we_wrote(tmp_path: Path) -> None:
    net = tiny_net(num_class_embeds=4)
    save_checkpoint(tmp_path, net.config, net.state_dict(), linear_schedule())
    theirs = diffusers.UNet2DModel.from_pretrained(tmp_path / "unet").eval()
    x, t = rows(channels=1)
    y = torch.tensor([3, 0, 1])
    ours = load_checkpoint(tmp_path).net(x, t, y)
    assert torch.allclose(theirs(x, t, class_labels=y).sample, ours, rtol=0, atol=1e-5)


@torch.no_grad()
def test_we_open_a_folder_of_diffusers_and_compute_the_same(tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = diffusers.UNet2DModel(**UNET).eval()
    scheduler = diffusers.DDPMScheduler(variance_type="fixed_large")
    diffusers.DDPMPipeline(theirs, scheduler).save_pretrained(tmp_path)
    loaded = load_checkpoint(tmp_path)
    x, t = rows(channels=3)
    assert torch.allclose(loaded.net(x, t), theirs(x, t).sample, rtol=0, atol=1e-5)
    assert loaded.defaults == SamplingDefaults("fixed_large", 1.0, 0, True)
    assert loaded.schedule.T == 1000


@torch.no_grad()
def test_averaged_weights_of_diffusers_training_are_told_of_and_load_as_they_say(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    net = diffusers.UNet2DModel(**UNET).eval()
    average = training_utils.EMAModel(
        net.parameters(), use_ema_warmup=True, model_cls=type(net), model_config=net.config
    )
    net.conv_out.bias += 1
    diffusers.DDPMPipeline(net, diffusers.DDPMScheduler()).save_pretrained(tmp_path)
    average.save_pretrained(tmp_path / "unet_ema")
    x, t = rows(channels=3)
    assert torch.allclose(load_checkpoint(tmp_path).net(x, t), net(x, t).sample, atol=1e-5)
    assert caplog.messages == [
        f"{tmp_path}: takes unet; averaged weights, which usually draw better, lie beside it: "
        f"copy scheduler_config.json into {tmp_path / 'unet_ema'} and name that folder"
    ]
    shutil.copy(tmp_path / SCHEDULER, tmp_path / "unet_ema")
    averaged = load_checkpoint(tmp_path / "unet_ema").net(x, t)
    assert torch.allclose(averaged + 1, net(x, t).sample, rtol=0, atol=1e-5)
    assert len(caplog.messages) == 1


@torch.no_grad()
def test_other_words_for_the_same_network_are_read(tmp_path: Path) -> None:
    options = UNET | {"act_fn": "swish", "sample_size": (8, 8)}
    theirs = diffusers.UNet2DModel(**options).eval()
    diffusers.DDPMPipeline(theirs, diffusers.DDPMScheduler()).save_pretrained(tmp_path)
    x, t = rows(channels=3)
    ours = load_checkpoint(tmp_path).net(x, t)
    assert torch.allclose(ours, theirs(x, t).sample, rtol=0, atol=1e-5)


def test_a_ddim_scheduler_of_diffusers_gives_its_own_defaults(tmp_path: Path) -> None:
    scheduler = diffusers.DDIMScheduler(
        num_train_timesteps=500, steps_offset=1, set_alpha_to_one=False, clip_sample=False
    )
    diffusers.DDIMPipeline(diffusers.UNet2DModel(**UNET), scheduler).save_pretrained(tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert loaded.defaults == SamplingDefaults("fixed_small", None, 1, False)
    assert loaded.schedule.T == 500
    edit(tmp_path / SCHEDULER, clip_sample=True, clip_sample_range=2)
    assert load_checkpoint(tmp_path).defaults.clip == 2.0


SOLVERS = [
    *("DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler"),
    *("DPMSolverSinglestepScheduler", "DEISMultistepScheduler", "UniPCMultistepScheduler"),
    *("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler"),
    "KDPM2DiscreteScheduler",
]


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # diffusers' own, of numpy 2
@pytest.mark.parametrize("name", SOLVERS)
def test_a_folder_that_another_solver_was_saved_with_is_the_same_network(
    tmp_path: Path, name: str
) -> None:
    """beta_* and the prediction are the network's; all else is the folder's word, if it has one."""
    options = {"beta_start": 1e-3, "beta_end": 0.01, "prediction_type": "v_prediction"}
    scheduler = getattr(diffusers, name)(beta_schedule="linear", **options)
    diffusers.DDPMPipeline(diffusers.UNet2DModel(**UNET), scheduler).save_pretrained(tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert (loaded.schedule.beta == linear_schedule(start=1e-3, end=0.01).beta).all()
    told = scheduler.config.get
    assert loaded.defaults == SamplingDefaults(
        prediction="v_prediction",
        clip=1.0 if told("clip_sample", True) else None,
        spacing=told("timestep_spacing", "leading"),
        set_alpha_to_one=told("set_alpha_to_one", True),
    )


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_a_folder_s_spacing_is_its_samplers(
    tmp_path: Path, sampler: SamplerName, spacing: str
) -> None:
    scheduler = diffusers.DDPMScheduler(timestep_spacing=spacing)
    diffusers.DDPMPipeline(diffusers.UNet2DModel(**UNET), scheduler).save_pretrained(tmp_path)
    loaded = load_checkpoint(tmp_path)
    scheduler.set_timesteps(50)
    ours = own_sampler(loaded, sampler, 50).plan(loaded).column("t").tolist()
    assert ours == scheduler.timesteps.tolist()
