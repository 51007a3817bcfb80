"""BatchNorm by the statistics of a batch that several processes have parts of."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dsrna.distributed import group


class _Summed(torch.autograd.Function):
    """The sum of a tensor over all processes; its derivatives are sums as well, however often it is differentiated."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return _Summed.apply(slope.contiguous())

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return _Summed.apply(tangent.contiguous())


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """As ``nn.BatchNorm2d``, with the mean and the variance of the whole batch, of which each process has a part.

    Every process must have as many images, and do the same passes in the same order. Unlike
    ``torch.nn.SyncBatchNorm`` it runs on CPUs as well, and may be differentiated twice and in forward mode, as the
    robustness metrics do.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to the same."""
        if not self.training or not group.dividing():
            return super().forward(x)
        others, processes = [0, 2, 3], group.size()
        mean = _Summed.apply(x.mean(others)) / processes
        centred = x - mean[:, None, None]
        variance = _Summed.apply(centred.square().mean(others)) / processes
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            self._move(mean.detach(), variance.detach(), processes * x.numel() // x.shape[1])
        normalised = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.weight is None:
            return normalised
        return normalised * self.weight[:, None, None] + self.bias[:, None, None]

    def _move(self, mean: Tensor, variance: Tensor, values: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), share)
            self.running_var.lerp_((variance * values / (values - 1)).to(self.running_var), share)


def synced(model: nn.Module) -> None:
    """Makes every BatchNorm2d of a model a :class:`SyncedBatchNorm2d`, with the same weights and statistics.

    Before its edges are fused: kernels don't know it, and leave what it is part of to the modules.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncedBatchNorm2d
