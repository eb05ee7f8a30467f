"""What images are to show, for models that were trained by class. Pure."""

from collections.abc import Iterator

from app.errors import FieldError
from app.schemas import JobSubmission
from protocol.messages import ModelInfo


def named(asked: JobSubmission, model: ModelInfo) -> tuple[str, ...] | None:
    """The labels by name; those there are no names for are left out, and objected to."""
    if asked.labels is None:
        return None
    found = (_name(label, model) for label in asked.labels)
    return tuple(label for label in found if label is not None)


def guidance(asked: JobSubmission) -> float | None:
    """1 where there are labels and the client says nothing."""
    return 1.0 if asked.labels is not None and asked.guidance is None else asked.guidance


def objections(asked: JobSubmission, model: ModelInfo, *, n: int) -> Iterator[FieldError]:
    """Why these labels cannot be asked for."""
    if model.labels_needed:
        yield from _to_what_is_of_none(asked, model)
    if asked.labels is None:
        if asked.guidance is not None:
            detail = "Guidance goes towards a label; say `labels` too."
            yield FieldError(pointer="/guidance", detail=detail)
        return
    if not model.labels:
        yield FieldError(pointer="/labels", detail=f"{model.name} knows no labels.")
        return
    if len(asked.labels) not in (1, n):
        detail = f"One for all, or one for each of {n} images; there are {len(asked.labels)}."
        yield FieldError(pointer="/labels", detail=detail)
    for place, label in enumerate(asked.labels):
        if _name(label, model) is None:
            known = ", ".join(model.labels[:20])
            detail = f"{model.name} has no such label; known: {known}."
            yield FieldError(pointer=f"/labels/{place}", detail=detail)


def _to_what_is_of_none(asked: JobSubmission, model: ModelInfo) -> Iterator[FieldError]:
    lacks = f'{model.name} has no class for "none"'
    if asked.labels is None:
        yield FieldError(pointer="/labels", detail=f"{lacks}: say which labels to draw.")
    elif asked.guidance not in (None, 1.0):
        yield FieldError(pointer="/guidance", detail=f"{lacks} to be guided away from: 1 alone.")


def _name(label: str | int, model: ModelInfo) -> str | None:
    """Of a name, itself; of a number, the name that it stands for."""
    if isinstance(label, str):
        return label if label in model.labels else None
    return model.labels[label] if 0 <= label < len(model.labels) else None
