"""The model a worker holds: loaded once, its plans made on demand, its description published."""

import logging
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from models.checkpoint import Checkpoint, load_checkpoint
from models.diffusers_config import CheckpointError
from models.hub import local_folder, parse_hub_id
from models.plan import Plan
from models.samplers import SAMPLERS, Sampler, SamplerName, own_sampler
from protocol.messages import MODEL_NAME_PATTERN, ModelInfo, SamplerInfo, SamplerSpec
from worker.examine import examine, sampling_net, settle
from worker.fingerprint import Numerics, Precision
from worker.runner import TorchRunner
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)
EPS_ERROR = 0.02  # of a reduced precision, relative: more is another model
STEPS_OF_SLOTS, STATES_BYTES = 8, 2**29
NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")  # MODEL_NAME_PATTERN's
PLANS_KEPT = 256  # clients choose eta, clip and t freely: a plan of 1,000 steps has 72 kB


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
        return self.numerics.fingerprint(self.checkpoint.digest)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        return self.checkpoint.net.config.image_shape

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' names: the card's, else their numbers."""
        named = self.checkpoint.card.get("labels", [])
        numbered = [str(number) for number in range(self.checkpoint.net.config.classes)]
        return tuple(named if len(named) == len(numbered) else numbered)

    def plan(self, spec: SamplerSpec, *, start_t: int | None = None) -> Plan:
        """The coefficient table of a sampler, from x_T or from x_t of the paper's t.

        Raises ValueError where the model cannot run it.
        """
        return _plan(self.checkpoint, spec, start_t)

    def info(self) -> ModelInfo:
        """What the API may know."""
        checkpoint, (channels, size, _) = self.checkpoint, self.shape
        return ModelInfo(
            name=self.name,
            sha256=checkpoint.sha256,
            image_size_px=size,
            channels=channels,
            T=checkpoint.schedule.T,
            samplers=tuple(_offered(checkpoint, name) for name in SAMPLERS),
            labels=self.labels,
            labels_needed=checkpoint.net.config.labels_needed,
            card=checkpoint.card,
        )


def load_resident(settings: WorkerSettings) -> ResidentModel:
    """Load, resolve the numerics, examine what they do. Raises CheckpointError or ValueError."""
    name = model_name(settings.model)  # first: a download would be for nothing
    checkpoint = load_checkpoint(local_folder(settings.model))
    numerics = _settled(settings, checkpoint, settings.precision)
    finding = examine(checkpoint, numerics, settings.data_dir)
    if finding.eps_error > EPS_ERROR:
        log.warning("%s is off by %.1f %%: float32", numerics.precision, 100 * finding.eps_error)
        numerics = _settled(settings, checkpoint, "float32")
        finding = examine(checkpoint, numerics, settings.data_dir)
    runner = TorchRunner(
        sampling_net(checkpoint, numerics),
        device=numerics.device,
        slots=_slots(checkpoint, numerics.chunk),
        sizes=finding.chunks,
        graphed=numerics.mode == "graph",
    )
    runner.measure()
    model = ResidentModel(name, checkpoint, numerics, runner)
    if checkpoint.defaults.variance == "learned_range":
        log.warning("%s: its variances are not served; ddpm draws with fixed_small", model.name)
    log.info("model %s, engine %s: %s, %s", model.name, model.engine, numerics, finding)
    log.info("ms a step by rows: %s", {n: round(1e3 * s, 1) for n, s in runner.step_s.items()})
    return model


def model_name(model: Path) -> str:
    """What a checkpoint is called in the service: its folder's name, or its id's last part.

    In lower case, each run of other characters a "-", none of ".", "_" and "-" in front. Raises
    CheckpointError where that is no name.
    """
    hub_id = parse_hub_id(model)
    called = (Path(hub_id["repository"]) if hub_id else model.resolve()).name
    name = NOT_IN_NAMES.sub("-", called.lower()).lstrip("._-")
    if not re.fullmatch(MODEL_NAME_PATTERN, name):
        raise CheckpointError(
            f"{called!r} makes no model's name of 1 to 64 letters, digits, '.', '_', '-': rename it"
        )
    return name


@lru_cache(maxsize=PLANS_KEPT)
def _plan(checkpoint: Checkpoint, spec: SamplerSpec, start_t: int | None) -> Plan:
    sampler = Sampler(
        spec.name,
        spec.steps,
        spacing=spec.spacing,
        clip=spec.clip,
        variance=spec.variance or "fixed_small",
        eta=spec.eta or 0.0,
    )
    return sampler.plan(checkpoint, start_t=start_t)


def _offered(checkpoint: Checkpoint, name: SamplerName) -> SamplerInfo:
    own = own_sampler(checkpoint, name)
    return SamplerInfo(
        name=name,
        steps=own.steps,
        spacing=own.spacing,
        variance=checkpoint.defaults.fixed_variance if name == "ddpm" else None,
        clip=own.clip,
    )


def _settled(settings: WorkerSettings, checkpoint: Checkpoint, precision: Precision) -> Numerics:
    return settle(
        checkpoint,
        settings.data_dir,
        device=settings.device,
        threads=settings.threads,
        precision=precision,
        mode=settings.mode,
        chunk=settings.rows,
    )


def _slots(checkpoint: Checkpoint, chunk: int) -> int:
    """Rows under way at once: enough that no job waits for another's chain, in bounded memory."""
    state_bytes = 8 * math.prod(checkpoint.net.config.image_shape)  # x and x0_prev
    return max(2 * chunk, min(STEPS_OF_SLOTS * chunk, STATES_BYTES // state_bytes))
