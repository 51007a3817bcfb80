"""Normalisation as a network's first layer, so that data, threat model and attacks stay in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.functional.memory_format import channels_last


class Normalize(nn.Module):
    """(x - mean) / std for each channel.

    Args:
        mean: one number a channel, in [0, 1] pixel units.
        std: one number a channel, in [0, 1] pixel units, > 0.

    Raises:
        ConfigError: the lengths differ, or a std isn't positive.

    >>> Normalize([0.5], [0.25])(torch.full((1, 1, 1, 1), 1.0)).item()
    2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or len(mean) == 0:
            raise ConfigError(
                f"Expected `mean` and `std` with one number for each channel, got {len(mean)} and {len(std)} numbers."
            )
        if not all(value > 0 for value in std):
            raise ConfigError(f"Expected every `std` > 0 (in [0, 1] pixel units), got {list(std)}.")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.get_default_dtype()).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.get_default_dtype()).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (N, C, H, W) in [0, 1] to its normalised form of the same shape, channels-last in memory.

        That format spreads through the whole network from here; convolutions are several times faster on it.
        """
        return channels_last((x - self.mean) / self.std)
