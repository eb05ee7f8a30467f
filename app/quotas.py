"""From an owner's quotas and the service's to the bounds of a submission, and back to an error."""

from app.errors import ApiError
from app.keys import Quotas
from app.limits import Limit
from app.shortages import QueueFull, QuotaExceeded, StorageFull
from protocol.admission import Bound, Bounds, NotAdmitted


def bounds_of(quotas: Quotas, *, queue: int | None, room: int | None) -> Bounds:
    """All that a submission must stay within."""
    return Bounds(
        tenant_queue=quotas.queued_images,
        tenant_day=quotas.images_per_day,
        queue=queue,
        room=room,
    )


def refusal(why: NotAdmitted, bounds: Bounds, *, n: int) -> ApiError:
    """What the client is told."""
    match why.bound:
        case Bound.ROOM:
            return StorageFull(f"Redis has no room for {n} more images.")
        case Bound.QUEUE:
            return QueueFull(
                f"{why.there} images are queued; with {n} more there would be over {bounds.queue}."
                + _never(n, bounds.queue)
            )
        case Bound.TENANT_QUEUE:
            return _exceeded("queued-images", bounds.tenant_queue, why, n=n)
        case Bound.TENANT_DAY:
            return _exceeded("images-per-day", bounds.tenant_day, why, n=n)


def _exceeded(name: str, quota: int | None, why: NotAdmitted, *, n: int) -> QuotaExceeded:
    assert quota is not None, "nothing was bounded"
    daily = why.bound is Bound.TENANT_DAY
    limit = Limit(
        name,
        quota,
        window_s=86_400 if daily else None,
        left=quota - why.there,
        reset_s=why.midnight_s if daily else None,
        unit="images",
    )
    what = "a day (UTC)" if daily else "queued at a time"
    detail = f"This key may have {quota} images {what}; {why.there} are, and this would add {n}."
    return QuotaExceeded(detail + _never(n, quota), limit=limit)


def _never(n: int, bound: int | None) -> str:
    """That waiting does not help, where it does not."""
    return " Waiting does not help: ask for fewer at a time." if bound and n > bound else ""
