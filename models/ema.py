"""An exponential moving average of weights: what samples are drawn from."""

import torch
from torch import Tensor, nn


class EMA:
    """shadow <- decay * shadow + (1 - decay) * weight, after every step; starts as a copy."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {name: p.detach().clone() for name, p in net.named_parameters()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Take in the weights as they are now."""
        weights = [p.detach() for p in net.parameters()]
        torch._foreach_lerp_(list(self.shadow.values()), weights, 1.0 - self.decay)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights, under the network's own key names."""
        return self.shadow

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from a saved average. Raises KeyError where a weight is missing."""
        for name, value in self.shadow.items():
            value.copy_(state[name])
