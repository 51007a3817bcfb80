"""The mixed operation: what stands on an edge of a supernet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.nn.operations import supernet_operation


class MixedOperation(nn.Module):
    """sum_o w_o o(x) over all primitives o of an edge.

    Every operation is computed, also where its weight is zero: d output / d w_o = o(x) is needed all the same. The
    output is linear in the weights and, as the operations, differentiable in x (twice, almost everywhere). Cost: the
    sum of the operations' costs.

    With partial channels K > 1 only the first C / K channels go through the operations; the rest bypass them (through a
    2 x 2 max-pooling where the stride is 2); both are concatenated and shuffled over K groups, so that the next edge
    sees other channels first.

    Args:
        primitives: names of operations, in the order of the weights.
        channels: C, channels in and out.
        stride: 1 or 2.
        partial_channels: K >= 1; C must be divisible by it.

    Attributes:
        primitives: as given.
        operations: the operations as modules, in the order of ``primitives``.
        leaves_out_zeros: whether operations of weight 0 are left out, all but the first: for weights that don't change,
            which save their cost so. False unless somebody sets it.

    Raises:
        ConfigError: C isn't divisible by K.

    Source: DARTS (ICLR 2019), eq. 2; Xu et al., PC-DARTS (ICLR 2020), eq. 1 and section 3.2. The shuffle is in
    PC-DARTS's released code and not in the equation.
    """

    def __init__(self, primitives: Sequence[str], channels: int, stride: int, partial_channels: int = 1) -> None:
        super().__init__()
        if partial_channels < 1 or channels % partial_channels:
            raise ConfigError(
                f"Expected `partial_channels` >= 1 that divides the channels of every cell, got {partial_channels} "
                f"for {channels} channels; choose `channels` as a multiple of `partial_channels`."
            )
        self.primitives = tuple(primitives)
        self.stride = stride
        self.partial_channels = partial_channels
        self.active_channels = channels // partial_channels
        self.leaves_out_zeros = False
        self.operations = nn.ModuleList(supernet_operation(name, self.active_channels, stride) for name in primitives)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Maps x (N, C, H, W) and operation weights (O,) to (N, C, ceil(H / stride), ceil(W / stride))."""
        active = x[:, : self.active_channels]
        pairs = list(zip(weights.unbind(), self.operations, strict=True))
        if self.leaves_out_zeros:
            pairs = [(weight, operation) for weight, operation in pairs if weight != 0] or pairs[:1]
        terms = [weight * operation(active) for weight, operation in pairs]
        mixed = sum(terms[1:], start=terms[0])
        if self.partial_channels == 1:
            return mixed
        bypass = x[:, self.active_channels :]
        if self.stride == 2:
            bypass = F.max_pool2d(bypass, 2, ceil_mode=True)
        return shuffle_channels(torch.cat([mixed, bypass], dim=1), self.partial_channels)


def shuffle_channels(x: Tensor, groups: int) -> Tensor:
    """Channel g * (C / groups) + i of x (N, C, H, W) moves to i * groups + g."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)
