"""What a GPU asks of the worker, as far as it shows without one."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.sampling_net import SamplingNet
from models.unet import UNet
from tests.conftest import TINY
from worker.runner import TorchRunner

# A number of the host's made a tensor, to be copied to the device; one brought back to look at.
OF_THE_HOST = {torch.ops.aten.lift_fresh.default, torch.ops.aten._local_scalar_dense.default}


class Seen(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """All operators that are called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: set[Any] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.operators.add(func)
        return func(*args, **(kwargs or {}))


def test_a_step_can_be_captured_as_a_graph_for_it_asks_nothing_of_the_host() -> None:
    net = SamplingNet(UNet(TINY).eval(), 1000, device="cpu")
    runner = TorchRunner(net, device="cpu", slots=4, sizes=(2,))
    slots = torch.tensor([0, 4])
    with torch.inference_mode(), Seen() as seen:
        runner._advance(slots, noisy=True)
        runner._advance(slots, noisy=False)
    assert torch.ops.aten.index_put_.default in seen.operators, "nothing was seen"
    assert not OF_THE_HOST & seen.operators
