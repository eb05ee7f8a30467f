"""A shard that was begun, as rows for the engine."""

from collections.abc import Iterable

from protocol.job_store import Begun, JobStore
from protocol.messages import JobRequest
from protocol.shard_queue import slots_of
from worker.resident import ResidentModel
from worker.row import Deliver, Ticket
from worker.starts import starts

URGENCY = {"high": 0, "normal": 1, "low": 2}


def ticket_of(held: Begun, model: ResidentModel, store: JobStore, deliver: Deliver) -> Ticket:
    """The shard's rows, but for images an earlier run of it has committed.

    Raises ValueError where this worker cannot run the job.
    """
    request = held.request
    if request.model != model.name:
        raise ValueError(f"model: this worker serves {model.name}, not {request.model}")
    guidance = 1.0 if request.guidance is None else request.guidance
    plan = model.plan(request.sampler, start_t=request.t)
    all_indices = [request.first_index + slot for slot in slots_of(held.shard, request.n)]
    there = store.manifests(held.job_id, all_indices)
    indices = tuple(i for i in all_indices if i not in there)
    pixels = store.sources(held.job_id) if request.sources else {}
    return Ticket(
        job_id=held.job_id,
        tenant=held.tenant,
        urgency=URGENCY[request.priority],
        plan=plan,
        steps=plan.steps,
        seed=request.seed,
        indices=indices,
        deliver=deliver,
        starts=starts(request, pixels, plan, model.shape, indices),
        classes=_classes(request, model, indices),
        guidance=guidance,
    )


def _classes(request: JobRequest, model: ResidentModel, indices: Iterable[int]) -> dict[int, int]:
    """The number of each image's label. Raises ValueError where the model cannot do with them."""
    of_none = request.labels is None or request.guidance not in (None, 1.0)
    if of_none and model.checkpoint.net.config.labels_needed:
        raise ValueError(f'labels: {model.name} has no class for "none", nor for guidance')
    if request.labels is None:
        return {}
    numbers = {label: number for number, label in enumerate(model.labels)}
    unknown = sorted(set(request.labels) - numbers.keys())
    if unknown:
        raise ValueError(f"labels: {model.name} has no {unknown[0]}")
    return {index: numbers[str(request.label_of(index))] for index in indices}
