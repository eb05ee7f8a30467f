"""DCGAN (Radford et al. 2016), the usual small recipe for images of a few dozen pixels."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.generative.contest import latents, parameters_of
from models.pixels import expect_finite, from_uint8, to_uint8

LATENT, WIDTH = 100, 64
RATE, BETAS, LEAK = 2e-4, (0.5, 0.999), 0.2


class Gan:
    """Generator against discriminator, one Adam step each a batch; non-saturating losses."""

    batch = 64

    def __init__(self, shape: tuple[int, int, int], *, seed: int, device: str) -> None:
        torch.manual_seed(seed)
        self._seed, self._device = seed, device
        self.generator = generator(shape).to(device)
        self.discriminator = discriminator(shape).to(device)
        self._adams = [
            torch.optim.Adam(net.parameters(), lr=RATE, betas=BETAS)
            for net in (self.generator, self.discriminator)
        ]

    @property
    def parameters(self) -> int:
        """Of both, for both are trained."""
        return parameters_of(self.generator) + parameters_of(self.discriminator)

    def step(self, pixels: Tensor, *, images_seen: int) -> None:
        """The discriminator first; what is drawn follows from seed and images seen."""
        torch.manual_seed(self._seed * 1_000_003 + images_seen)
        self.generator.train()
        real = from_uint8(pixels.to(self._device))
        fake = self.generator(torch.randn(len(real), LATENT, 1, 1, device=self._device))
        self._descend(1, self._says(real, real=True) + self._says(fake.detach(), real=False))
        self._descend(0, self._says(fake, real=True))

    @torch.inference_mode()
    def draw(self, indices: list[int]) -> Tensor:
        """uint8 (B, C, H, W), each image by its own index. Raises ValueError for NaN."""
        self.generator.eval()
        z = latents(self._seed, indices, LATENT).to(self._device)
        x = self.generator(z)
        expect_finite(x, indices)
        return to_uint8(x).cpu()

    def state_dict(self) -> dict[str, Any]:
        """Networks and optimisers."""
        return {str(i): part.state_dict() for i, part in enumerate(self._parts())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        for i, part in enumerate(self._parts()):
            part.load_state_dict(state[str(i)])

    def _parts(self) -> list[Any]:
        return [self.generator, self.discriminator, *self._adams]

    def _says(self, x: Tensor, *, real: bool) -> Tensor:
        """The loss of taking x for what it is said to be."""
        logits = self.discriminator(x)
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))

    def _descend(self, which: int, loss: Tensor) -> None:
        self._adams[which].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adams[which].step()


def generator(shape: tuple[int, int, int]) -> nn.Sequential:
    """z (B, 100, 1, 1) -> [-1, 1] (B, C, H, W), H a multiple of 4: a quarter, a half, the whole."""
    channels, size, _ = shape
    quarter = nn.ConvTranspose2d(LATENT, 4 * WIDTH, size // 4, bias=False)
    half = nn.ConvTranspose2d(4 * WIDTH, 2 * WIDTH, 4, stride=2, padding=1, bias=False)
    whole = nn.ConvTranspose2d(2 * WIDTH, WIDTH, 4, stride=2, padding=1, bias=False)
    layers: list[nn.Module] = []
    for conv in (quarter, half, whole):
        layers += [conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True)]
    last = nn.Conv2d(WIDTH, channels, 3, padding=1)
    return _initialised(nn.Sequential(*layers, last, nn.Tanh()))


def discriminator(shape: tuple[int, int, int]) -> nn.Sequential:
    """[-1, 1] (B, C, H, W) -> logits (B, 1, 1, 1)."""
    channels, size, _ = shape
    return _initialised(
        nn.Sequential(
            nn.Conv2d(channels, WIDTH, 4, stride=2, padding=1),
            nn.LeakyReLU(LEAK, inplace=True),
            nn.Conv2d(WIDTH, 2 * WIDTH, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * WIDTH),
            nn.LeakyReLU(LEAK, inplace=True),
            nn.Conv2d(2 * WIDTH, 4 * WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm2d(4 * WIDTH),
            nn.LeakyReLU(LEAK, inplace=True),
            nn.Conv2d(4 * WIDTH, 1, size // 4),
        )
    )


def _initialised(net: nn.Sequential) -> nn.Sequential:
    """The paper's: N(0, 0.02) weights, norms about 1."""
    for module in net:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return net
