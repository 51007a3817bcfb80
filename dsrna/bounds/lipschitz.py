"""Lipschitz constants of networks whose operation weights are random."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.abstract_tensor import AbstractTensor
from dsrna.bounds.convolution import pair
from dsrna.bounds.movement import Move
from dsrna.bounds.scalar_function import ScalarFunction
from dsrna.types import Norm


class LipschitzGain(AbstractTensor):
    """How far a value may move for each unit that the image does: a bound on the Lipschitz constant, as a log-normal.

    ``network(LipschitzGain.of_images(x, norm, spread))`` runs the network's own forward. ln L is normal with mean
    ``log_mean`` and variance ``log_variance + own``. The rules, in l_inf or l_2 for images and logits alike:

    - linear, convolution: times the operator norm: in l_inf the largest row sum of |W|; in l_2 its bound by Schur, the
      root of the largest row sum times the largest column sum. BatchNorm: times the largest factor. Pooling, means and
      moves likewise; ReLU leaves L as it is;
    - a known factor that is a single tensor is an operation weight w: log-normal too, with median w and ln-variance
      spread^2, independent of others;
    - sums: the log-normal with the same mean and variance (Fenton and Wilkinson). Terms come from common operations:
      the smallest ln-variance that they had before their own operation weights is taken as common to all of them, and
      the rest as independent. Concatenation: in l_2 the same of squares, in l_inf the one of the largest median.

    The image begins with ln-variance spread^2, so that no L is certain. Differentiable in network and operation
    weights. An operation weight that serves several cells counts as another one in each. Cost: a forward pass of a
    single image, whose values are not looked at.

    Args:
        zeros: (1, ...), of the value's shape.
        log_mean: scalar.
        log_variance: scalar, of what lies before the last sum.
        own: scalar, ln-variance that has come since.
        norm: ``"linf"`` or ``"l2"``.
        spread: of operation weights.

    Source: Dong et al., Adversarially Robust Neural Architectures (2020), section 3. Differs: there operations have
    spectral norms by power iteration, and the distribution of the operation weights is what is searched.
    """

    def __init__(
        self, zeros: Tensor, log_mean: Tensor, log_variance: Tensor, own: Tensor, norm: Norm, spread: float
    ) -> None:
        self.zeros = zeros
        self.log_mean, self.log_variance, self.own = log_mean, log_variance, own
        self.norm: Norm = norm
        self.spread = spread

    @classmethod
    def of_images(cls, x: Tensor, norm: Norm, spread: float) -> Self:
        """The image itself: its constant is 1."""
        zero = x.new_zeros(())
        return cls(torch.zeros_like(x[:1]), zero, zero + spread**2, zero, norm, spread)

    @property
    def shape(self) -> torch.Size:
        return self.zeros.shape

    @property
    def device(self) -> torch.device:
        return self.zeros.device

    @property
    def dtype(self) -> torch.dtype:
        return self.zeros.dtype

    def conv2d(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Self:
        zeros = F.conv2d(self.zeros, weight.detach(), None, stride, padding, dilation, groups)
        sizes = weight.abs().sum(dim=(2, 3)).unflatten(0, (groups, -1))  # (G, O / G, C / G)
        return self._scaled(zeros, sizes.sum(dim=2).max(), sizes.sum(dim=1).max())

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Self:
        sizes = weight.abs()
        return self._scaled(F.linear(self.zeros, weight.detach()), sizes.sum(dim=1).max(), sizes.sum(dim=0).max())

    def normalise(
        self, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, smallest: float
    ) -> Self:
        factors = (variance + smallest).rsqrt() if weight is None else (variance + smallest).rsqrt() * weight
        return self._scaled(self.zeros, factors.abs().max())

    def _rectified(self) -> Self:
        return self._scaled(self.zeros)

    def _entrywise(self, function: ScalarFunction) -> Self:
        if function.steepest == math.inf:
            self._refuse("the Lipschitz constant of a root, a quotient or an exponential")
        return self._scaled(self.zeros, function.steepest, function.steepest)

    def max_pool2d(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Self:
        if return_indices:
            self._refuse("the indices of a max pooling")
        zeros = F.max_pool2d(self.zeros, kernel_size, stride, padding, dilation, ceil_mode=ceil_mode)
        windows = 1
        for size, step in zip(pair(kernel_size), pair(kernel_size if stride is None else stride), strict=True):
            windows *= -(-size // step)  # that a value may be the largest of
        return self._scaled(zeros, 1.0, float(windows))

    def avg_pool2d(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Self:
        return self._positive_linear(
            lambda values: F.avg_pool2d(
                values, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
            )
        )

    def adaptive_avg_pool2d(self, output_size: Any) -> Self:
        return self._positive_linear(lambda values: F.adaptive_avg_pool2d(values, output_size))

    def _mean(self, dim: tuple[int, ...], keepdim: bool) -> Self:
        return self._positive_linear(lambda values: values.mean(dim=dim, keepdim=keepdim))

    def _moved(self, move: Move) -> Self:
        return self._positive_linear(move)

    @classmethod
    def _joined(cls, tensors: Sequence[Self], dim: int) -> Self:
        zeros = torch.cat([tensor.zeros for tensor in tensors], dim)
        if tensors[0].norm == "linf":
            return max(tensors, key=lambda tensor: float(tensor.log_mean.detach()))._made(zeros)
        return cls._sum(tensors, zeros, power=2)

    def _plus(self, other: Any) -> Self:
        if isinstance(other, LipschitzGain):
            return self._sum((self, cast(Self, other)), self.zeros + other.zeros)
        return self._made(self.zeros + 0 * other)

    def _times(self, factor: Any) -> Self:
        if not isinstance(factor, Tensor):
            return self._scaled(self.zeros, abs(factor))
        scaled = self._scaled(self.zeros * factor.detach().abs(), factor.abs().max())
        if factor.ndim == 0:
            scaled.own = scaled.own + self.spread**2
        return scaled

    def _positive_linear(self, function: Callable[[Tensor], Tensor]) -> Self:
        """A linear function whose coefficients are never negative."""
        with torch.enable_grad():
            ones = torch.ones_like(self.zeros).requires_grad_()
            rows = function(ones)
            (columns,) = torch.autograd.grad(rows.sum(), ones)
        return self._scaled(torch.zeros_like(rows), rows.detach().max(), columns.max())

    def _scaled(self, zeros: Tensor, rows: Tensor | float = 1.0, columns: Tensor | float | None = None) -> Self:
        """Times an operator norm, from the largest sums of a row and of a column, the same by default."""
        log_norm = _log(rows, self.log_mean)
        if self.norm == "l2" and columns is not None:
            log_norm = (log_norm + _log(columns, self.log_mean)) / 2
        return self._made(zeros, self.log_mean + log_norm)

    def _made(self, zeros: Tensor, log_mean: Tensor | None = None) -> Self:
        return type(self)(
            zeros, self.log_mean if log_mean is None else log_mean, self.log_variance, self.own, self.norm, self.spread
        )

    @classmethod
    def _sum(cls, terms: Sequence[Self], zeros: Tensor, power: int = 1) -> Self:
        """Of the terms' powers; its root."""
        means = power * torch.stack([term.log_mean for term in terms])
        before = torch.stack([term.log_variance for term in terms])
        common = before.amin()
        own = power**2 * (before - common + torch.stack([term.own for term in terms]))
        log_mean = torch.logsumexp(means + own / 2, dim=0)
        relative = own.expm1() * (2 * (means + own / 2 - log_mean)).exp()  # variances over the squared mean
        variance = relative.sum().log1p()
        median, spread = (log_mean - variance / 2) / power, terms[0].spread
        return cls(zeros, median, common + variance / power**2, torch.zeros_like(median), terms[0].norm, spread)


def _log(value: Tensor | float, like: Tensor) -> Tensor:
    tensor = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    return tensor.clamp_min(torch.finfo(like.dtype).tiny).log()
