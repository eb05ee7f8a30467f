"""A worker's part, played through the real protocol: it samples nothing and stores real PNGs."""

import hashlib
import io
import uuid
from dataclasses import dataclass, field

from PIL import Image
from redis import Redis

from protocol.image_store import RedisImageStore
from protocol.job_store import Begun, Commit, JobStore
from protocol.messages import ImageManifest, JobError, ModelInfo, SamplerInfo, WorkerInfo
from protocol.registry import Registry
from protocol.shard_queue import shards_of, slots_of

TINY = ModelInfo(
    name="tiny",
    sha256="a" * 64,
    image_size_px=8,
    channels=1,
    T=1000,
    samplers=(
        SamplerInfo(name="ddpm", steps=1000, variance="fixed_large", clip=1.0),
        SamplerInfo(name="ddim", steps=50, clip=1.0),
        SamplerInfo(name="dpmpp-2m", steps=20, spacing="linspace"),
    ),
    card={"license": "CC0"},
)
SIDE = 8


@dataclass
class PlayedWorker:
    """Begins shards, commits images, ends jobs."""

    redis: Redis
    model: ModelInfo = TINY
    name: str = "played"
    engine: str = "engine-1"
    store: JobStore = field(init=False)
    images: RedisImageStore = field(init=False)
    registry: Registry = field(init=False)

    def __post_init__(self) -> None:
        self.store = JobStore(self.redis)
        self.images = RedisImageStore(self.redis)
        self.registry = Registry(self.redis)

    def announce(self) -> None:
        """Publish the model, and live."""
        self.registry.publish(self.model)
        self.registry.heartbeat(
            WorkerInfo(
                name=self.name,
                model=self.model.name,
                device="paper",
                precision="float32",
                engine=self.engine,
            )
        )

    def leave(self) -> None:
        """Leave; the model stays known."""
        self.registry.leave(self.name)

    def begin(self, job_id: str, shard: int = 0) -> Begun:
        held = self.store.begin_shard(
            job_id, shard, run=uuid.uuid4().hex, engine=self.engine, model_sha256=self.model.sha256
        )
        assert isinstance(held, Begun)
        return held

    def commit(
        self, held: Begun, index: int, *, png: bytes | None = None, steps_in_flight: int = 0
    ) -> bytes:
        """Store image `index`, or this file for it, and commit it; the file."""
        own, manifest = picture(index)
        png = own if png is None else png
        self.images.put(held, index, png)
        assert (
            self.store.commit_image(held, manifest, steps_in_flight=steps_in_flight)
            is Commit.COMMITTED
        )
        return png

    def finish(self, job_id: str) -> None:
        """The whole job, shard by shard."""
        record = self.store.get(job_id)
        assert record is not None
        for shard in range(shards_of(record.request.n)):
            held = self.begin(job_id, shard)
            for slot in slots_of(shard, record.request.n):
                self.commit(held, record.request.first_index + slot)
            self.store.leave_shard(held)

    def fail(self, job_id: str) -> None:
        held = self.begin(job_id)
        error = JobError(code="worker_lost", title="Worker lost", detail="three times")
        self.store.fail_job(job_id, held.shard, error, epoch=held.epoch)


def picture(index: int) -> tuple[bytes, ImageManifest]:
    """A tile of one grey, which tells the index."""
    image = Image.new("L", (SIDE, SIDE), grey_of(index))
    file = io.BytesIO()
    image.save(file, "png")
    png = file.getvalue()
    sha256 = hashlib.sha256(image.tobytes()).hexdigest()
    return png, ImageManifest(
        index=index, pixels_sha256=sha256, bytes=len(png), width=SIDE, height=SIDE
    )


def grey_of(index: int) -> int:
    return (index * 37 + 1) % 256
