"""The peer: diffusers' pipeline on the same weights."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.pixels import to_uint8
from models.sampling_net import DTYPES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers


def ddim_pipeline(
    folder: Path, *, device: str, precision: str = "float32", compiled: bool = False
) -> Any:
    """diffusers' DDIMPipeline of a checkpoint, its progress bar off.

    Eager it is what a user gets; `compiled` is what diffusers' documentation makes of it for speed:
    channels-last and torch.compile.
    """
    library: Any = diffusers
    unet = library.UNet2DModel.from_pretrained(
        folder / "unet", low_cpu_mem_usage=False, torch_dtype=DTYPES[precision]
    )
    unet = unet.to(device).eval()
    if compiled:
        unet = torch.compile(unet.to(memory_format=torch.channels_last), dynamic=False)
    scheduler = library.DDIMScheduler.from_pretrained(folder / "scheduler")
    pipeline = library.DDIMPipeline(unet=unet, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ddpm_scheduler(folder: Path) -> Any:
    """diffusers' DDPMScheduler of a checkpoint."""
    library: Any = diffusers
    return library.DDPMScheduler.from_pretrained(folder / "scheduler")


@torch.inference_mode()
def chain(unet: Any, scheduler: Any, x_T: Tensor, steps: int, **options: Any) -> Tensor:  # noqa: N803
    """uint8 (B, C, H, W): the pipelines' own loop, from a given x_T of the network's dtype, with
    `options` of the scheduler's step.

    The pipelines themselves can neither be given an x_T nor, in bfloat16, give back their images:
    numpy has no such numbers.
    """
    scheduler.set_timesteps(steps)
    x = x_T
    for t in scheduler.timesteps:
        x = scheduler.step(unet(x, t).sample, t, x, **options).prev_sample
    return to_uint8(x)
