"""The network on which certified training is usually measured."""

from __future__ import annotations

from torch import nn

from dsrna.errors import ConfigError


def cnn7(shape: tuple[int, int, int], classes: int, width: int = 64, hidden: int = 512) -> nn.Sequential:
    """CNN7: five 3 x 3 convolutions, each with BatchNorm and ReLU, the third of stride 2, and two linear layers.

    Args:
        shape: (C, H, W) of the images.
        classes: number of logits.
        width: channels of the first two convolutions; the others have twice as many.
        hidden: values between the two linear layers.

    Raises:
        ConfigError: a size is below 1.

    References:
        Shi et al., Fast Certified Robust Training with Short Warmup (NeurIPS 2021), as its code builds it.
    """
    if width < 1 or hidden < 1:
        raise ConfigError(f"Expected `width` and `hidden` of at least 1, got {width} and {hidden}. (conf: model)")
    channels, height, breadth = shape
    layers: list[nn.Module] = []
    for outputs, stride in ((width, 1), (width, 1), (2 * width, 2), (2 * width, 1), (2 * width, 1)):
        layers += [nn.Conv2d(channels, outputs, 3, stride, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        channels = outputs
    values = channels * ((height + 1) // 2) * ((breadth + 1) // 2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(values, hidden), nn.ReLU(), nn.Linear(hidden, classes))
