"""The sheet of samples a run leaves behind as it learns: always the same seeds."""

import torch
from PIL import Image
from torch import Tensor

from models.checkpoint import network_of
from models.pixels import grid, to_uint8
from models.plan import ddim_plan
from models.sample import sample_batch
from models.trainer import Trainer

SEED, STEPS = 0, 50
LARGEST = {64: 36, 128: 16}  # images on a sheet, by their size in pixels at most
OF_LARGE_IMAGES = 9


def images_on_sheet(size_px: int) -> int:
    """Fewer of larger ones: other processes wait while the first draws.

    Nine images are 450 evaluations of the network: two or three training steps of 64.
    """
    return next((count for most, count in LARGEST.items() if size_px <= most), OF_LARGE_IMAGES)


def draw_samples(trainer: Trainer, weights: dict[str, Tensor]) -> Tensor:
    """DDIM-50 from given weights, on the trainer's device: (N, C, H, W); classes in turn.

    In its precision, and as many at a time as it trains on: what fits there fits here.
    """
    config, device = trainer.config, trainer.device
    net = network_of(config.network, weights)
    shape, classes = config.network.image_shape, len(config.labels)
    plan = ddim_plan(trainer.schedule, min(STEPS, trainer.schedule.T), prediction=config.prediction)

    def chunk(indices: list[int]) -> Tensor:
        y = torch.tensor(indices, device=device) % classes if classes else None

        def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
            with trainer.autocast():
                out: Tensor = net(x_t.to(device), t.to(device), y)
            return out[:, : shape[0]].float().cpu()  # what it may say of variances is not asked

        return sample_batch(denoiser, plan, shape, seed=SEED, indices=indices)

    count, rows = images_on_sheet(config.network.sample_size), trainer.rows_at_a_time
    chunks = (range(first, min(first + rows, count)) for first in range(0, count, rows))
    return torch.cat([chunk(list(indices)) for indices in chunks])


def picture_of(images: Tensor) -> Image.Image:
    """Images in [-1, 1] (N, C, H, W) side by side."""
    sheet = grid(to_uint8(images))
    return Image.fromarray(sheet.permute(1, 2, 0).squeeze(-1).numpy())
