"""Networks small enough to check every number of, with weights and running statistics of their own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SHAPE = (2, 6, 6)
"""(C, H, W) of the images that the tiny networks take."""


def tiny_images(count: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """(count, 2, 6, 6) images, uniform in [0, 1]."""
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def linear_network(weight: Tensor, bias: Tensor | None = None) -> nn.Sequential:
    """f(x) = W x + b on flattened images, whose Jacobian is W everywhere.

    Args:
        weight: W (K, D).
        bias: b (K,), or None for zeros.
    """
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(torch.zeros(weight.shape[0]) if bias is None else bias)
    return nn.Sequential(nn.Flatten(), layer)


class TinyMixedNetwork(nn.Module):
    """A supernet in small: two edges in a row, each the softmax-weighted sum of convolution, average pooling, identity.

    In training mode and float64 at first, with running statistics as after training.

    Args:
        classes: K.
        seed: of weights, running statistics and alphas.
        activation: builds the activation; a smooth one makes the network smooth.
        readout: applied to the last features before they are averaged; squares make every alpha's derivative depend on
            the images, but no bound is known for them.

    Attributes:
        alphas: (2, 3) logits.
    """

    def __init__(
        self,
        classes: int = 3,
        seed: int = 0,
        activation: Callable[[], nn.Module] = nn.ReLU,
        readout: Callable[[Tensor], Tensor] = torch.square,
    ) -> None:
        super().__init__()
        self.readout = readout
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.alphas = nn.Parameter(torch.randn(2, 3))
            self.stem = nn.Sequential(nn.Conv2d(SHAPE[0], 4, 3, padding=1), nn.BatchNorm2d(4))
            self.convolutions = nn.ModuleList(_convolution(activation) for _ in self.alphas)
            self.poolings = nn.ModuleList(_pooling() for _ in self.alphas)
            self.dropout = nn.Dropout(0.5)
            self.classifier = nn.Linear(4, classes)
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.normal_(module.get_buffer("running_mean"), std=0.3)
                    nn.init.uniform_(module.get_buffer("running_var"), 0.2, 1.0)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (N, 2, 6, 6) to logits (N, K)."""
        state = self.stem(x)
        for weights, convolution, pooling in zip(
            self.alphas.softmax(dim=1), self.convolutions, self.poolings, strict=True
        ):
            state = weights[0] * convolution(state) + weights[1] * pooling(state) + weights[2] * state
        return self.classifier(self.dropout(self.readout(state).mean(dim=(2, 3))))


def smooth_network() -> TinyMixedNetwork:
    """The tiny network with tanh, on which central differences are close to derivatives."""
    return TinyMixedNetwork(activation=nn.Tanh)


class Faulty(nn.Module):
    """x, with a value or a gradient that isn't finite for images whose first value is above 0.6.

    Args:
        fault: ``"nan gradient"``, ``"infinite gradient"``, ``"nan logits"`` or ``"infinite logits"``.
    """

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (N, D) to itself."""
        bad = x[:, :1] > 0.6
        if "gradient" in self.fault:
            factor = 0.0 if self.fault == "nan gradient" else 1.0
            return x + factor * (torch.where(bad, x - x.detach(), 1.0).sqrt() - torch.where(bad, 0.0, 1.0))
        return x + torch.where(bad, torch.nan if self.fault == "nan logits" else torch.inf, 0.0)


def faulty_network(fault: str, values: int = 4, classes: int = 3) -> nn.Sequential:
    """A linear network for images of so many values, whose layer ``1`` is :class:`Faulty`."""
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(classes, values, generator=draw)
    return nn.Sequential(nn.Flatten(), Faulty(fault), linear_network(weight)[1])


def robust_and_fragile(x: Tensor, classes: int = 3, seed: int = 0) -> tuple[nn.Sequential, nn.Sequential]:
    """Two linear networks with the same logits at every given image, one of them far more sensitive in between.

    The fragile one's rows have a large component added that is orthogonal to all the images.

    Args:
        x: (N, C, H, W) images, fewer than they have values.
        classes: K.
        seed: of the weights.

    Returns:
        (robust, fragile).
    """
    draw = torch.Generator().manual_seed(seed)
    images = x.flatten(1)
    weight = torch.randn(classes, images.shape[1], generator=draw, dtype=x.dtype)
    noise = torch.randn(classes, images.shape[1], generator=draw, dtype=x.dtype)
    orthogonal = noise - noise @ torch.linalg.pinv(images) @ images
    return linear_network(weight), linear_network(weight + 10 * orthogonal)


def _convolution(activation: Callable[[], nn.Module]) -> nn.Sequential:
    return nn.Sequential(activation(), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4, affine=False))


def _pooling() -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, 1, padding=1), nn.BatchNorm2d(4, affine=False))
