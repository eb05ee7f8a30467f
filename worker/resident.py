"""The model a worker holds: loaded once, its plans made on demand, its description published."""

import json
import logging
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from models.checkpoint import Checkpoint, load_checkpoint
from models.plan import Plan, ddim_plan, ddpm_plan
from protocol.messages import ModelInfo, SamplerInfo, SamplerSpec
from worker import fingerprint
from worker.chunks import agreeing_sizes
from worker.fingerprint import Numerics
from worker.runner import TorchRunner
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)
CPU_ROWS, CUDA_ROWS = 32, 256
AGREEMENT_STEPS = 10


@dataclass(frozen=True, eq=False)
class ResidentModel:
    """A checkpoint, on its device, under resolved numerics."""

    name: str
    checkpoint: Checkpoint
    numerics: Numerics
    runner: TorchRunner

    @property
    def engine(self) -> str:
        """The fingerprint every image of this process records."""
        return self.numerics.fingerprint(self.checkpoint.sha256)

    def plan(self, spec: SamplerSpec) -> Plan:
        """The coefficient table of a sampler. Raises ValueError where the model cannot run it."""
        return _plan(self.checkpoint, spec)

    def info(self) -> ModelInfo:
        """What the API may know."""
        checkpoint, defaults = self.checkpoint, self.checkpoint.defaults
        channels, size, _ = checkpoint.net.config.image_shape
        T = checkpoint.schedule.T  # noqa: N806
        return ModelInfo(
            name=self.name,
            sha256=checkpoint.sha256,
            image_size_px=size,
            channels=channels,
            T=T,
            samplers=(
                SamplerInfo(name="ddpm", steps=T, variance=defaults.variance, clip=defaults.clip),
                SamplerInfo(name="ddim", steps=min(50, T), clip=defaults.clip),
            ),
            card=checkpoint.card,
        )


def load_resident(settings: WorkerSettings) -> ResidentModel:
    """Load, resolve the numerics, check which chunk sizes agree. Raises CheckpointError."""
    checkpoint = load_checkpoint(settings.model)
    numerics = fingerprint.resolve(device=settings.device, threads=settings.threads)
    fingerprint.apply(numerics)
    sizes = _agreed(checkpoint, numerics, settings.data_dir)
    if sizes == (1,):
        numerics = fingerprint.resolve(device=numerics.device, threads=settings.threads, chunk=1)
    rows = settings.rows or (CPU_ROWS if numerics.device == "cpu" else CUDA_ROWS)
    runner = TorchRunner(checkpoint.net, device=numerics.device, capacity=rows, sizes=sizes)
    model = ResidentModel(model_name(settings.model), checkpoint, numerics, runner)
    log.info("model %s, engine %s: %s, chunks %s", model.name, model.engine, numerics, sizes)
    return model


def model_name(folder: Path) -> str:
    """What a checkpoint is called in the service: its folder's name."""
    return folder.resolve().name


@cache
def _plan(checkpoint: Checkpoint, spec: SamplerSpec) -> Plan:
    schedule, defaults = checkpoint.schedule, checkpoint.defaults
    if spec.name == "ddpm":
        return ddpm_plan(
            schedule,
            spec.steps,
            variance=spec.variance or "fixed_small",
            clip=spec.clip,
            steps_offset=defaults.steps_offset,
        )
    return ddim_plan(
        schedule,
        spec.steps,
        eta=spec.eta or 0.0,
        clip=spec.clip,
        steps_offset=defaults.steps_offset,
        set_alpha_to_one=defaults.set_alpha_to_one,
    )


def _agreed(checkpoint: Checkpoint, numerics: Numerics, data_dir: Path) -> tuple[int, ...]:
    """The chunk sizes that round alike; checked once for each fingerprint and kept in DATA_DIR."""
    kept = data_dir / "engine" / f"{numerics.fingerprint(checkpoint.sha256)}.json"
    if kept.exists():
        return tuple(json.loads(kept.read_text())["chunks"])
    plan = ddpm_plan(checkpoint.schedule, min(AGREEMENT_STEPS, checkpoint.schedule.T))
    sizes = agreeing_sizes(checkpoint.net, plan, device=numerics.device, chunk=numerics.chunk)
    kept.parent.mkdir(parents=True, exist_ok=True)
    staged = kept.with_suffix(f".{uuid.uuid4().hex}.part")  # others may be at it
    staged.write_text(json.dumps({"chunks": sizes}))
    staged.replace(kept)
    return sizes
