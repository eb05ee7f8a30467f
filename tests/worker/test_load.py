"""How busy a worker says it is."""

from worker.load import WINDOW_S, LoadMeter


def counters(*, images: int, steps: int, row_steps: int) -> dict[str, int]:
    return {"images": images, "steps": steps, "row_steps": row_steps}


def test_rates_are_over_the_last_seconds_and_occupancy_over_the_steps_taken() -> None:
    meter = LoadMeter(width=16)
    first = meter.read(5.0, counters(images=7, steps=10, row_steps=80), running=8, waiting=2)
    assert (first.images_per_s, first.steps_per_s, first.occupancy) == (0.0, 0.0, 0.0)
    assert (first.rows_running, first.rows_waiting, first.width) == (8, 2, 16)
    later = meter.read(9.0, counters(images=11, steps=30, row_steps=320), running=1, waiting=0)
    assert (later.images_per_s, later.steps_per_s, later.occupancy) == (1.0, 5.0, 0.75)


def test_what_was_long_ago_does_not_count() -> None:
    meter = LoadMeter(width=4)
    meter.read(0.0, counters(images=0, steps=0, row_steps=0), running=0, waiting=0)
    meter.read(1.0, counters(images=100, steps=100, row_steps=400), running=0, waiting=0)
    idle = meter.read(
        1.5 + WINDOW_S, counters(images=100, steps=100, row_steps=400), running=0, waiting=0
    )
    assert (idle.images_per_s, idle.steps_per_s, idle.occupancy) == (0.0, 0.0, 0.0)
