"""A convolutional variational autoencoder (Kingma & Welling 2014), the usual small recipe."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.generative.contest import latents, parameters_of
from models.pixels import expect_finite

LATENT, WIDTH = 32, 64
RATE = 1e-3


class Vae:
    """Bernoulli pixels, diagonal Gaussian latents, Adam. An image drawn is the decoder's mean."""

    batch = 128

    def __init__(self, shape: tuple[int, int, int], *, seed: int, device: str) -> None:
        torch.manual_seed(seed)
        self._seed, self._device = seed, device
        self.encoder, self.decoder = encoder(shape).to(device), decoder(shape).to(device)
        self._both = nn.ModuleList([self.encoder, self.decoder])
        self._adam = torch.optim.Adam(self._both.parameters(), lr=RATE)

    @property
    def parameters(self) -> int:
        """Of encoder and decoder."""
        return parameters_of(self._both)

    def step(self, pixels: Tensor, *, images_seen: int) -> None:
        """One step down the bound; what is drawn follows from seed and images seen."""
        torch.manual_seed(self._seed * 1_000_003 + images_seen)
        self._adam.zero_grad()
        self.loss(pixels.to(self._device).float() / 255.0).backward()  # type: ignore[no-untyped-call]
        self._adam.step()

    def loss(self, x: Tensor) -> Tensor:
        """The bound on -log p(x) of x in [0, 1] (B, C, H, W), nats an image."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        logits = self.decoder(z)
        missed = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = 0.5 * (mean**2 + log_variance.exp() - 1.0 - log_variance).sum()
        total: Tensor = (missed + kl) / len(x)
        return total

    @torch.inference_mode()
    def draw(self, indices: list[int]) -> Tensor:
        """uint8 (B, C, H, W), each image by its own index. Raises ValueError for NaN."""
        z = latents(self._seed, indices, LATENT).flatten(1).to(self._device)
        x = torch.sigmoid(self.decoder(z))
        expect_finite(x, indices)
        return (x * 255.0).round().to(torch.uint8).cpu()

    def state_dict(self) -> dict[str, Any]:
        """Networks and optimiser."""
        return {"both": self._both.state_dict(), "adam": self._adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self._both.load_state_dict(state["both"])
        self._adam.load_state_dict(state["adam"])


def encoder(shape: tuple[int, int, int]) -> nn.Sequential:
    """[0, 1] (B, C, H, W), H a multiple of 4 -> (B, 64): means, then logs of variances."""
    channels, size, _ = shape
    return nn.Sequential(
        nn.Conv2d(channels, WIDTH, 4, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(WIDTH, 2 * WIDTH, 4, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(2 * WIDTH * (size // 4) ** 2, 4 * WIDTH),
        nn.ReLU(inplace=True),
        nn.Linear(4 * WIDTH, 2 * LATENT),
    )


def decoder(shape: tuple[int, int, int]) -> nn.Sequential:
    """z (B, 32) -> logits (B, C, H, W): the encoder, backwards."""
    channels, size, _ = shape
    quarter = size // 4
    return nn.Sequential(
        nn.Linear(LATENT, 4 * WIDTH),
        nn.ReLU(inplace=True),
        nn.Linear(4 * WIDTH, 2 * WIDTH * quarter**2),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (2 * WIDTH, quarter, quarter)),
        nn.ConvTranspose2d(2 * WIDTH, WIDTH, 4, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(WIDTH, channels, 4, stride=2, padding=1),
    )
