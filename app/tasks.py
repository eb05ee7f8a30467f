"""What each task asks for beyond a seed and a sampler, and what it has no use for. Pure."""

from collections.abc import Iterator

from app.errors import FieldError
from app.schemas import ImageChoice, JobSubmission
from protocol.messages import ModelInfo, SamplerSpec

IMAGES = {"sample": (), "variations": ("image",), "interpolate": ("image_a", "image_b")}
OF_TASKS = ("t", "image", "image_a", "image_b", "lambdas")  # all but `sample`'s own fields


def images_of(asked: JobSubmission) -> dict[str, ImageChoice]:
    """The images the task starts from, by field; those the client left out are missing."""
    chosen = {name: getattr(asked, name) for name in IMAGES[asked.task]}
    return {name: image for name, image in chosen.items() if image is not None}


def images_made(asked: JobSubmission) -> int:
    """n, which a list of lambdas tells where the client does not."""
    return asked.n if asked.lambdas is None else len(asked.lambdas)


def objections(
    asked: JobSubmission, sampler: SamplerSpec, model: ModelInfo
) -> Iterator[FieldError]:
    """Why the task cannot be done like that."""
    yield from _to_fields(asked)
    if asked.t is not None and asked.t > model.T:
        yield _objection("t", f"{model.name} has T = {model.T} steps.")
    if asked.task == "variations":
        yield from _to_variations(asked, sampler)
    if asked.task == "interpolate":
        yield from _to_interpolation(asked)


def _to_fields(asked: JobSubmission) -> Iterator[FieldError]:
    needed = (*IMAGES[asked.task], "t") if IMAGES[asked.task] else ()
    known = (*needed, "lambdas") if asked.task == "interpolate" else needed
    for name in OF_TASKS:
        given = getattr(asked, name) is not None
        if given and name not in known:
            yield _objection(name, f"The task {asked.task} has no {name}.")
        if not given and name in needed:
            yield _objection(name, f"The task {asked.task} needs this.")


def _to_variations(asked: JobSubmission, sampler: SamplerSpec) -> Iterator[FieldError]:
    if asked.n > 1 and sampler.name == "dpmpp-2m":
        yield _objection("sampler/name", "dpmpp-2m adds no noise: all variations would be equal.")
    if asked.n > 1 and sampler.name == "ddim" and sampler.eta == 0.0:
        detail = "With eta 0 all variations would be equal; use eta > 0, or ddpm."
        yield _objection("sampler/eta", detail)


def _to_interpolation(asked: JobSubmission) -> Iterator[FieldError]:
    says_n = "n" in asked.model_fields_set
    if asked.first_index != 0:
        yield _objection("first_index", "Interpolations start at 0; say `lambdas` to make others.")
    if asked.lambdas is None and asked.n < 2:
        yield _objection("n", "Say how many from a to b, at least 2, or list `lambdas`.")
    if asked.lambdas is not None and says_n and asked.n != len(asked.lambdas):
        yield _objection("n", f"There are {len(asked.lambdas)} lambdas; n may be left out.")


def _objection(field: str, detail: str) -> FieldError:
    return FieldError(pointer=f"/{field}", detail=detail)
