"""Average pooling as a layer."""

from __future__ import annotations

from torch import Tensor, nn

from dsrna.functional.pooling import average_pool


class AveragePool2d(nn.AvgPool2d):
    """torch's layer with the gradients of :func:`~dsrna.functional.pooling.average_pool`."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C, H', W')."""
        return average_pool(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip
