"""Train a DDPM: `python -m models.train fashion-mnist --out runs/fashion-mnist`.

The run's folder holds all of it: `state.pt` (resume: the same command again), `metrics.jsonl`,
`samples/` (a grid from the EMA weights every so often) and `checkpoint/` (what is served).
"""

import argparse
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from models.checkpoint import save_checkpoint
from models.data import DataError, batches, load_images
from models.diffusion import Denoiser, l_simple
from models.ema import EMA
from models.pixels import from_uint8, grid, to_uint8
from models.plan import ddim_plan
from models.sample import sample_batch
from models.schedule import NoiseSchedule, linear_schedule
from models.train_config import TrainConfig, read_config
from models.unet import UNet

log = logging.getLogger(__name__)
GRID_SEED, GRID_IMAGES, GRID_STEPS = 0, 36, 50


@dataclass(eq=False)
class Trainer:
    """Everything a run carries from step to step; `state_dict` is all of it that is saved."""

    config: TrainConfig
    device: torch.device
    compiled: bool = False
    images_seen: int = 0
    seconds: float = 0.0  # of training, over all sittings
    schedule: NoiseSchedule = field(init=False)
    net: UNet = field(init=False)

    def __post_init__(self) -> None:
        optimiser = self.config.optimiser
        torch.manual_seed(optimiser.seed)
        self.schedule = linear_schedule(self.config.T)
        self.alpha_bar = torch.from_numpy(self.schedule.alpha_bar).float().to(self.device)
        self.net = zero_last_layers(UNet(self.config.network)).to(self.device)
        self.forward: Denoiser = torch.compile(self.net) if self.compiled else self.net
        self.adam = torch.optim.Adam(
            self.net.parameters(), lr=optimiser.learning_rate, betas=(0.9, 0.999), fused=True
        )
        self.ema = EMA(self.net, optimiser.ema_decay)
        self.generator = torch.Generator(self.device).manual_seed(optimiser.seed)

    def step(self, pixels: Tensor) -> Tensor:
        """One Adam step on a batch of uint8 images; the loss stays on the device."""
        rate = self.config.optimiser.rate_at(self.images_seen)
        for group in self.adam.param_groups:
            group["lr"] = rate
        loss = self.loss(pixels.to(self.device))
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.optimiser.grad_clip)
        self.adam.step()
        self.ema.update(self.net)
        self.images_seen += len(pixels)
        return loss.detach()

    def loss(self, pixels: Tensor) -> Tensor:
        """L_simple at uniformly drawn timesteps, with noise from the run's own generator."""
        x_0 = from_uint8(pixels)
        if self.config.optimiser.flip:
            mirrored = torch.rand(len(x_0), generator=self.generator, device=self.device) < 0.5
            x_0 = torch.where(mirrored[:, None, None, None], x_0.flip(-1), x_0)
        t = torch.randint(
            self.schedule.T, (len(x_0),), generator=self.generator, device=self.device
        )
        eps = torch.randn(x_0.shape, generator=self.generator, device=self.device)
        autocast = self.config.optimiser.autocast == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=autocast):
            return l_simple(self.forward, x_0, t, self.alpha_bar, eps)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on to the bit: weights, moments, average, generator."""
        return {
            "net": self.net.state_dict(),
            "adam": self.adam.state_dict(),
            "ema": self.ema.state_dict(),
            "generator": self.generator.get_state(),
            "images_seen": self.images_seen,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`. Raises RuntimeError where the network is another one."""
        self.net.load_state_dict(state["net"])
        self.adam.load_state_dict(state["adam"])
        self.ema.load_state_dict(state["ema"])
        self.generator.set_state(state["generator"].cpu())
        self.images_seen, self.seconds = state["images_seen"], state["seconds"]


def zero_last_layers(net: UNet) -> UNet:
    """Residual branches and the output start at zero, so that each block starts as the identity."""
    for name, module in net.named_modules():
        if name.endswith(("conv2", "to_out.0", "conv_out")):
            assert isinstance(module, nn.Conv2d | nn.Linear)
            nn.init.zeros_(module.weight)
    return net


class Run:
    """A run's folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        (folder / "samples").mkdir(parents=True, exist_ok=True)

    def resume(self, trainer: Trainer) -> None:
        """Go on where the last save left off, if there is one; metrics after it are dropped."""
        state = self.folder / "state.pt"
        if not state.exists():
            return
        trainer.load_state_dict(torch.load(state, map_location=trainer.device, weights_only=True))
        self._truncate_metrics(trainer.images_seen)
        log.info("resumed at %d images", trainer.images_seen)

    def save(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """State first, then its line in the metrics: a kill between the two loses one line."""
        staged = self.folder / ".state.pt.part"
        torch.save(trainer.state_dict(), staged)
        staged.replace(self.folder / "state.pt")
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(metrics) + "\n")

    def export(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """The EMA weights as a checkpoint, and a grid of what they make."""
        config = trainer.config
        weights = trainer.ema.state_dict()
        save_checkpoint(
            self.folder / "checkpoint",
            config.network,
            weights,
            trainer.schedule,
            variance=config.variance,
            card={
                "name": self.name,
                "ema": True,
                "ema_decay": config.optimiser.ema_decay,
                "images_seen": trainer.images_seen,
                "training_s": round(trainer.seconds),
                "loss": metrics["loss"],
                "config": {"network": asdict(config.network), **asdict(config.optimiser)},
            },
        )
        sheet = grid(to_uint8(sample_grid(trainer, weights)))
        picture = Image.fromarray(sheet.permute(1, 2, 0).squeeze(-1).numpy())
        picture.save(self.folder / "samples" / f"{trainer.images_seen:09d}.png")

    def _truncate_metrics(self, images_seen: int) -> None:
        path = self.folder / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        kept = [line for line in lines if json.loads(line)["images"] <= images_seen]
        path.write_text("".join(kept))


def sample_grid(trainer: Trainer, weights: dict[str, Tensor]) -> Tensor:
    """DDIM-50 from given weights, always the same seeds: (36, C, H, W)."""
    net = UNet(trainer.config.network).eval()
    net.load_state_dict({name: w.cpu() for name, w in weights.items()})
    plan = ddim_plan(trainer.schedule, min(GRID_STEPS, trainer.schedule.T))
    shape = trainer.config.network.image_shape
    return sample_batch(net, plan, shape, seed=GRID_SEED, indices=list(range(GRID_IMAGES)))


def train(
    trainer: Trainer, images: Tensor, run: Run, *, save_every: int, export_every: int
) -> None:
    """Run to the configured number of images, saving and exporting every so many of them."""
    optimiser = trainer.config.optimiser
    stream = batches(
        images,
        batch=optimiser.batch,
        start=trainer.images_seen // optimiser.batch,
        seed=optimiser.seed,
    )
    for metrics in _intervals(trainer, stream, save_every):
        run.save(trainer, metrics)
        finished = trainer.images_seen >= optimiser.images
        if finished or trainer.images_seen % export_every < optimiser.batch:
            run.export(trainer, metrics)


def _intervals(
    trainer: Trainer, stream: Iterator[Tensor], save_every: int
) -> Iterator[dict[str, float]]:
    """Train; yield the metrics of each `save_every` images, with a progress bar on stderr."""
    total = trainer.config.optimiser.images
    with _progress_bar() as bar:
        task = bar.add_task("training", total=total, completed=trainer.images_seen, loss="")
        while trainer.images_seen < total:
            started, first = time.monotonic(), trainer.images_seen
            losses = []
            while trainer.images_seen < min(first + save_every, total):
                losses.append(trainer.step(next(stream)))
                bar.update(task, completed=trainer.images_seen)
            elapsed = time.monotonic() - started
            trainer.seconds += elapsed
            loss = float(torch.stack(losses).mean())
            bar.update(task, loss=f"L_simple {loss:.4f}")
            yield {
                "images": trainer.images_seen,
                "loss": round(loss, 5),
                "learning_rate": trainer.config.optimiser.rate_at(trainer.images_seen),
                "images_per_s": round((trainer.images_seen - first) / elapsed, 1),
                "seconds": round(trainer.seconds, 1),
            }


def _progress_bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    return Progress(*columns, refresh_per_second=1)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    parser.add_argument("config", help="a name under models/configs, or a path to a .toml file")
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/<config>)")
    parser.add_argument("--data", type=Path, help="instead of the configuration's `data`")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    parser.add_argument("--save-every", type=int, default=8_000, metavar="IMAGES")
    parser.add_argument("--export-every", type=int, default=40_000, metavar="IMAGES")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler()])
    try:
        config = read_config(args.config)
        images = load_images(args.data or Path(config.data))
    except (ValueError, DataError) as error:
        log.error("%s", error)
        return 2
    if tuple(images.shape[1:]) != config.network.image_shape:
        log.error("data: images are %s, network wants %s", images.shape[1:], config.network)
        return 2
    name = Path(args.config).stem
    run = Run(args.out or Path("runs") / name, name)
    trainer = Trainer(config, torch.device(args.device), compiled=args.compile)
    run.resume(trainer)
    train(trainer, images, run, save_every=args.save_every, export_every=args.export_every)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
