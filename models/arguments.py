"""Arguments that several commands have, refused by name before anything is begun."""

import torch


def expect_device(name: str) -> None:
    """Raises ValueError where torch cannot compute on --device `name`."""
    try:
        torch.zeros(1, device=name).cpu()  # what is named, built in and there, can do this
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"--device: {name}: {reason}") from error


def expect_at_least(argument: str, value: int, least: int) -> None:
    """Raises ValueError for a smaller value."""
    if value < least:
        raise ValueError(f"{argument}: must be {least} at least, got {value}")


def expect_timesteps(timesteps: int | None, T: int) -> None:  # noqa: N803
    """Raises ValueError for a number of --timesteps that a chain of T has not; None are all."""
    if timesteps is not None and not 2 <= timesteps <= T:
        raise ValueError(f"--timesteps: must be between 2 and {T}, got {timesteps}")
