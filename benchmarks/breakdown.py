"""Where the time of a step goes, each part measured alone, and of what follows the last one."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from models.diffusion import reverse_step
from models.noise import Purpose, normal
from models.pixels import to_uint8
from models.plan import Plan
from models.sampling_net import SamplingNet
from protocol.messages import JobRequest, Output, Priority, SamplerSpec
from worker.png import encode
from worker.row import Ticket
from worker.runner import TorchRunner

REPEATS = 20
PROVENANCE = {"model": "benchmark", "model_sha256": "0" * 64, "engine": "0" * 16}


def breakdown_ms(
    net: SamplingNet, plan: Plan, *, batch: int, graphed: bool, repeats: int = REPEATS
) -> dict[str, float]:
    """Medians in ms. `plan` must use noise and be longer than `repeats` steps.

    `rest` is what a step costs beyond its parts: Python, gathering and scattering of states.
    """
    device = str(net.device)
    runner = TorchRunner(net, device=device, slots=batch, sizes=(batch,), graphed=graphed)
    rows = Ticket.for_nobody(plan, seed=0, indices=range(batch)).rows()
    for row in rows:
        runner.admit(row)
    seed, index = torch.zeros(2, batch, dtype=torch.int64, device=device)
    x = torch.randn(batch, *net.shape, device=device)
    t = torch.full_like(index, net.T // 2)
    lines = torch.from_numpy(plan.table[:1]).float().expand(batch, -1).to(device)
    parts = {
        "unet": lambda: net(x, t),
        "noise": lambda: normal(seed, index, t, Purpose.STEP, net.shape),
        "update": lambda: reverse_step(lines, x, x, x, x),
    }
    step = median_ms(lambda: runner.step(rows), repeats)
    found = {name: median_ms(part, repeats) for name, part in parts.items()}
    found |= {"rest": step - sum(found.values())}
    pixels = to_uint8(x).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    after = {
        "quantise_an_image": median_ms(lambda: to_uint8(x), repeats) / batch,
        "png_an_image": median_ms(lambda: encode(pixels[0], 0, _request(), PROVENANCE), repeats),
    }
    return {name: round(ms, 3) for name, ms in {"step": step, **found, **after}.items()}


def median_ms(action: Callable[[], Any], repeats: int) -> float:
    """Of one call, the device's work included, after two that are not counted."""
    seconds = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        action()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 1e3 * statistics.median(seconds[2:])


def _request() -> JobRequest:
    return JobRequest(
        task="sample",
        model="benchmark",
        n=1,
        seed=0,
        first_index=0,
        sampler=SamplerSpec(name="ddim", steps=50, eta=0.0, clip=1.0),
        output=Output(),
        priority=Priority.NORMAL,
        timeout_s=None,
        ttl_s=3600,
        metadata={},
    )
