"""What is counted over all processes of a kind, alive or gone: names alone, no Redis."""

from bisect import bisect_left
from enum import StrEnum

STEP_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
STEP_US = "step_us"  # microseconds of all steps
STEP_BUCKETS = (*(f"step_le_{bound}" for bound in STEP_BOUNDS_S), "step_le_inf")


class Count(StrEnum):
    """What workers count, by model."""

    IMAGES = "images_stored"
    IMAGE_BYTES = "image_bytes"
    BEGUN = "shards_begun"
    RETRIED = "shards_retried"  # begun again after a crash, a lost lease or a drain
    GIVEN_BACK = "shards_given_back"
    ABANDONED = "shards_abandoned"  # found without their worker
    FENCED = "fenced_writes"
    DRAINS = "drains"
    CRASHES = "crashes"  # of engines; a worker that was killed shows in what it abandoned


BY_WORKERS = frozenset({*Count, STEP_US, *STEP_BUCKETS})


def step_bucket(seconds: float) -> str:
    """Where a step of this length is counted, once: buckets are summed when somebody asks."""
    return STEP_BUCKETS[bisect_left(STEP_BOUNDS_S, seconds)]
