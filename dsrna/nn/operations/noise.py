"""Noise: an operation that a search should learn to leave out."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from dsrna.distributed.group import per_image
from dsrna.errors import ConfigError
from dsrna.nn.operations.table import operation


@operation("noise")
class Noise(nn.Module):
    """A draw from N(0, 1) for every value in training mode, zeros in evaluation mode; x counts for its shape alone.

    Still connected to x, so that a gradient (of zeros) exists. Draws come from torch's global generator of x's device.
    Differs from the released code, which draws in evaluation mode too, so that no two evaluations agree.

    Source: Zela et al., Understanding and Robustifying Differentiable Architecture Search (ICLR 2020), space S4.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, affine: bool) -> None:
        super().__init__()
        if channels_in != channels_out:
            raise ConfigError(
                f"noise can't change the number of channels: expected as many out as in, got {channels_in} in and "
                f"{channels_out} out."
            )
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        zeros = x[:, :, :: self.stride, :: self.stride] * 0.0
        if not self.training:
            return zeros
        return zeros + per_image(partial(torch.randn, dtype=zeros.dtype, device=zeros.device), zeros.shape)
