"""An exponential moving average of weights: what samples are drawn from.

With warm-up its memory grows with the run, as TensorFlow's does when told the step: after n steps
the decay is min(decay, (1 + n) / (10 + n)). With 0.9995 from the start, a quarter of the average
would be random first weights after 2,500 steps, and its samples noise. The paper's code does
without: at 0.9999 and 500,000 steps nothing is left of the first.
"""

import torch
from torch import Tensor, nn


class EMA:
    """shadow <- decay_n * shadow + (1 - decay_n) * weight, after every step; starts as a copy."""

    def __init__(self, net: nn.Module, decay: float, *, warmup: bool = True) -> None:
        self.decay, self.warmup = decay, warmup
        self.shadow = {name: p.detach().clone() for name, p in net.named_parameters()}

    @torch.no_grad()
    def update(self, net: nn.Module, n: int) -> None:
        """Take in the weights as they are now, after n steps that were taken in before."""
        weights = [p.detach() for p in net.parameters()]
        decay = min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay
        torch._foreach_lerp_(list(self.shadow.values()), weights, 1.0 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights, under the network's own key names."""
        return self.shadow

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from a saved average. Raises KeyError where a weight is missing."""
        for name, value in self.shadow.items():
            value.copy_(state[name])
