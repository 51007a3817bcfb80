"""What a network computes, counted."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(network: nn.Module, x: Tensor) -> int:
    """Multiplications with additions of all convolutions and matrix products of a forward pass.

    Args:
        network: in the modes in which it is to be counted; it isn't changed beyond what a forward pass does.
        x: its input, a batch.

    >>> multiply_adds(nn.Conv2d(2, 3, 5), torch.zeros(1, 2, 8, 8))  # 16 places, 3 channels of 2 * 25 products
    2400
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(x)
    return counter.get_total_flops() // 2
