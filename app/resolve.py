"""From what was asked to what will be run: every default made explicit. Pure."""

from collections.abc import Iterator, Mapping

from app import labels, tasks, webhooks
from app.errors import FieldError, InvalidRequest
from app.schemas import JobSubmission, SamplerChoice
from app.shortages import NoWorker
from protocol.messages import (
    MAX_INDEX,
    JobRequest,
    ModelInfo,
    Output,
    SamplerInfo,
    SamplerSpec,
    Variance,
)
from protocol.webhook_policy import PUBLIC_ONLY, WebhookPolicy


def choose_model(name: str | None, models: Mapping[str, ModelInfo]) -> ModelInfo:
    """The model of this name, or the only one. Raises InvalidRequest, NoWorker."""
    if not models:
        raise NoWorker("No worker has published a model yet.")
    if name is None and len(models) == 1:
        return next(iter(models.values()))
    if name is not None and name in models:
        return models[name]
    known = ", ".join(sorted(models))
    detail = "Say which model" if name is None else "There is no such model"
    raise InvalidRequest([FieldError(pointer="/model", detail=f"{detail}; known: {known}.")])


def resolve(
    asked: JobSubmission,
    model: ModelInfo,
    *,
    seed: int,
    webhook_policy: WebhookPolicy = PUBLIC_ONLY,
) -> JobRequest:
    """The job as it will run, but for its images; `seed` where the client named none.

    Raises InvalidRequest.
    """
    choice = asked.sampler or SamplerChoice(name=model.samplers[0].name)
    levels = model.T if asked.t is None else min(asked.t, model.T)
    sampler = _sampler(choice, _offered(choice, model), levels=levels, midway=asked.t is not None)
    objections = [
        *_to_indices(asked),
        *_to_sampler(choice, sampler, model, levels=levels),
        *tasks.objections(asked, sampler, model),
        *labels.objections(asked, model, n=tasks.images_made(asked)),
        *webhooks.objections(asked, webhook_policy),
    ]
    if objections:
        raise InvalidRequest(objections)
    return JobRequest(
        task=asked.task,
        model=model.name,
        n=tasks.images_made(asked),
        seed=seed if asked.seed is None else asked.seed,
        first_index=asked.first_index,
        sampler=sampler,
        output=Output(format=asked.output.format, scale=asked.output.scale),
        priority=asked.priority,
        timeout_s=asked.timeout_s,
        ttl_s=asked.ttl_s,
        metadata=asked.metadata,
        t=asked.t,
        labels=labels.named(asked, model),
        guidance=labels.guidance(asked),
        lambdas=None if asked.lambdas is None else tuple(asked.lambdas),
        webhook=webhooks.resolved(asked),
    )


def _offered(choice: SamplerChoice, model: ModelInfo) -> SamplerInfo:
    for info in model.samplers:
        if info.name == choice.name:
            return info
    names = ", ".join(info.name for info in model.samplers)
    raise InvalidRequest([_objection("name", f"{model.name} offers {names}.")])


def _sampler(choice: SamplerChoice, own: SamplerInfo, *, levels: int, midway: bool) -> SamplerSpec:
    """What the client said, else the sampler's and the model's own.

    `levels` is how many timesteps there are. A chain that starts midway has trailing spacing where
    its sampler has leading: it starts at t itself, and not below.
    """
    steps = choice.steps or min(own.steps, levels)
    spacing = "trailing" if midway and own.spacing == "leading" else own.spacing
    return SamplerSpec(
        name=choice.name,
        steps=steps,
        eta=(choice.eta or 0.0) if choice.name == "ddim" else None,
        spacing=choice.spacing or spacing,
        variance=_variance(choice, own, full=steps >= levels),
        clip=own.clip if choice.clip is None else choice.clip,
    )


def _variance(choice: SamplerChoice, own: SamplerInfo, *, full: bool) -> Variance | None:
    """ddpm's alone. fixed_large is for the full chain; a shortened one has fixed_small."""
    if choice.name != "ddpm":
        return None
    return choice.variance or (own.variance if full else None) or "fixed_small"


def _to_indices(asked: JobSubmission) -> Iterator[FieldError]:
    if asked.first_index + asked.n > MAX_INDEX + 1:
        yield FieldError(pointer="/first_index", detail="first_index + n may be 2^32 at most.")


def _to_sampler(
    choice: SamplerChoice, resolved: SamplerSpec, model: ModelInfo, *, levels: int
) -> Iterator[FieldError]:
    """Why this model cannot be sampled like that."""
    if resolved.steps > model.T:
        yield _objection("steps", f"{model.name} has T = {model.T} steps.")
    elif resolved.steps > levels:
        yield _objection("steps", f"From t = {levels} there are {levels} steps at most.")
    if resolved.name != "ddim" and choice.eta is not None:
        yield _objection("eta", f"{resolved.name} has no eta; ddim does.")
    if resolved.name != "ddpm" and choice.variance is not None:
        yield _objection("variance", f"{resolved.name} has no variance; ddpm does.")
    if resolved.variance == "fixed_large" and resolved.steps < levels:
        yield _objection("variance", f"fixed_large needs the full chain of {levels} steps.")


def _objection(field: str, detail: str) -> FieldError:
    return FieldError(pointer=f"/sampler/{field}", detail=detail)
