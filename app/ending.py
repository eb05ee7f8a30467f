"""Tasks that must be over before what they use is closed."""

import asyncio

AGAIN_S = 0.2


async def ended(*tasks: "asyncio.Task[object]") -> None:
    """Cancel them until they are. Once is not enough: a cancellation that comes while a connection
    is made can be taken for its timeout, and the loop around it goes on."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
