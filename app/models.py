"""Which models there are and who serves them, from the registry the workers keep."""

from app.errors import ModelNotFound
from app.resources.models import Model, ModelWorker
from protocol.messages import ModelInfo, WorkerInfo
from protocol.registry import Registry


class ModelService:
    """The API opens no checkpoint: it knows what workers have said."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def all(self) -> list[Model]:
        """Every model ever published, by name."""
        workers = self._registry.live_workers()
        return [_view(info, workers) for info in self._registry.models().values()]

    def get(self, name: str) -> Model:
        """One of them. Raises ModelNotFound."""
        info = self._registry.models().get(name)
        if info is None:
            raise ModelNotFound(f"No worker has published a model {name}.")
        return _view(info, self._registry.live_workers())

    def is_any_served(self) -> bool:
        """Whether a worker lives."""
        return bool(self._registry.live_workers())

    def start_fault(self) -> str | None:
        """Why a worker could not start, if one said so lately."""
        return self._registry.start_fault()


def _view(info: ModelInfo, workers: list[WorkerInfo]) -> Model:
    return Model(
        name=info.name,
        sha256=info.sha256,
        image_size_px=info.image_size_px,
        channels=info.channels,
        T=info.T,
        samplers=list(info.samplers),
        labels=list(info.labels),
        labels_needed=info.labels_needed,
        card=info.card,
        workers=[
            ModelWorker(
                name=worker.name,
                device=worker.device,
                precision=worker.precision,
                mode=worker.mode,
                engine=worker.engine,
            )
            for worker in workers
            if worker.model == info.name
        ],
    )
