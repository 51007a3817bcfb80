"""Factorized reduction: halves a map without throwing three quarters of its pixels away."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.errors import ConfigError


class FactorizedReduce(nn.Module):
    """BatchNorm([conv1x1(r) | conv1x1(r shifted by one pixel)]) with r = ReLU(x), both convolutions of stride 2.

    One half of the output channels sees the even pixels, the other half the odd ones. Maps of odd size are padded with
    a row and a column of zeros before the shift, so that both halves come out as ceil(H / 2); the field's code has no
    such case and fails there.

    Args:
        channels_in: channels of x (N, channels_in, H, W).
        channels_out: channels of the output (N, channels_out, ceil(H / 2), ceil(W / 2)), at least 2.
        affine: whether BatchNorm has a scale and shift.

    Raises:
        ConfigError: fewer than 2 channels out.
    """

    def __init__(self, channels_in: int, channels_out: int, affine: bool) -> None:
        super().__init__()
        if channels_out < 2:
            raise ConfigError(f"Expected at least 2 channels out of a factorized reduction, got {channels_out}.")
        # The pixels are picked before, not by a stride: torch's CPU gradient of a strided 1x1 convolution on
        # channels-last maps writes beyond its memory (seen with torch 2.15: 4 channels of 56x56).
        self.even = nn.Conv2d(channels_in, channels_out // 2, 1, bias=False)
        self.odd = nn.Conv2d(channels_in, channels_out - channels_out // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, channels_in, H, W) to (N, channels_out, ceil(H / 2), ceil(W / 2))."""
        even, odd = pixels_of_both_halves(F.relu(x))
        return self.norm(torch.cat([self.even(even), self.odd(odd)], dim=1))


def pixels_of_both_halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """The even and the odd pixels of x (N, C, H, W), each (N, C, ceil(H / 2), ceil(W / 2))."""
    height, width = x.shape[-2:]
    return x[:, :, ::2, ::2], F.pad(x, (0, width % 2, 0, height % 2))[:, :, 1::2, 1::2]
