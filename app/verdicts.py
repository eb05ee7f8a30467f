"""What sampling an image again has shown. Pure."""

from typing import Literal

from PIL import Image, ImageChops

from app.resources.jobs import Verification
from protocol.job_record import JobRecord
from protocol.messages import Claim

EDITED = "The file's pixels are not those its own text tells of: it was changed after it was made."
OTHER_PIXELS = "The same engine and weights make other pixels of what the file's text tells."
OTHER_WEIGHTS = "It was made with the weights {}, and again with {}."
OTHER_ENGINE = "It was made by the engine {}, and again by {}, which may round otherwise."

Result = Literal["match", "differs", "not_comparable"]


def verdict(record: JobRecord, claim: Claim, *, difference: int | None) -> Verification:
    """`difference` is the largest of any value of any pixel; None as long as there is none."""
    result, reason = (None, None) if difference is None else _judged(record, claim, difference)
    return Verification(
        result=result,
        reason=reason,
        largest_difference=difference,
        pixels_sha256=claim.pixels_sha256,
        engine=claim.engine,
        model_sha256=claim.model_sha256,
    )


def largest_difference(one: bytes, other: bytes) -> int:
    """Of any byte, in images of as many."""
    a, b = (Image.frombytes("L", (len(pixels), 1), pixels) for pixels in (one, other))
    counts = ImageChops.difference(a, b).histogram()
    return max(level for level, count in enumerate(counts) if count)


def _judged(record: JobRecord, claim: Claim, difference: int) -> tuple[Result, str | None]:
    if difference and not claim.intact:
        return "differs", EDITED
    if record.model_sha256 != claim.model_sha256:
        return "not_comparable", OTHER_WEIGHTS.format(claim.model_sha256, record.model_sha256)
    if record.engine != claim.engine:
        return "not_comparable", OTHER_ENGINE.format(claim.engine, record.engine)
    return ("differs", OTHER_PIXELS) if difference else ("match", None)
