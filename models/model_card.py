"""model_card.json: what a checkpoint says of its training, its own leg and all in all."""

from dataclasses import asdict
from typing import Any

from models.trainer import Past, Trainer


def card_of(trainer: Trainer, name: str, loss: float | None) -> dict[str, Any]:
    """The card of a run as it stands; `loss` is the last interval's.

    `images_seen` and `training_s` are this run's. `images_in_all` and `training_s_in_all` count
    what its `start_from` had learned as well, and are left out where nobody knows.
    """
    config = trainer.config
    return {
        "name": name,
        **config.card,
        **({"labels": list(config.labels)} if config.labels else {}),
        **({"start_from": config.start_from} if config.start_from else {}),
        "ema": True,
        "ema_decay": config.optimiser.ema_decay,
        "images_seen": trainer.images_seen,
        "training_s": round(trainer.seconds),
        **_in_all(trainer),
        "loss": loss,
        "config": {"network": asdict(config.network), **asdict(config.optimiser)},
    }


def past_of(card: dict[str, Any]) -> Past | None:
    """What the weights of a checkpoint with this card had learned from; None: it does not say.

    A card without totals tells all only if its own run began from nothing.
    """
    total = "images_in_all" in card or "start_from" in card
    keys = ("images_in_all", "training_s_in_all") if total else ("images_seen", "training_s")
    images, seconds = (card.get(key) for key in keys)
    if isinstance(images, int) and isinstance(seconds, int | float):
        return Past(images, float(seconds))
    return None


def _in_all(trainer: Trainer) -> dict[str, int]:
    if trainer.past is None:
        return {}
    return {
        "images_in_all": trainer.past.images + trainer.images_seen,
        "training_s_in_all": round(trainer.past.seconds + trainer.seconds),
    }
