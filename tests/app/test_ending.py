"""Tasks end, also those that take a cancellation for something else."""

import asyncio

import pytest

from app.ending import ended


async def _deaf(times: int) -> None:
    """As a loop that tries again after whatever it takes for a timeout."""
    for _ in range(times):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(3600)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_task_that_does_not_hear_it_at_once_ends_all_the_same(times: int) -> None:
    async def run() -> None:
        tasks = [asyncio.create_task(_deaf(times)), asyncio.create_task(_deaf(0))]
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await ended(*tasks)
        assert all(task.cancelled() for task in tasks)

    asyncio.run(run())


def test_what_is_over_already_is_left_alone() -> None:
    async def run() -> None:
        task = asyncio.create_task(asyncio.sleep(0))
        await task
        await ended(task)
        assert not task.cancelled()

    asyncio.run(run())
