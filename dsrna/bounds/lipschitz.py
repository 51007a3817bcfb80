"""Lipschitz constants of networks whose operation weights are random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.abstract_tensor import AbstractTensor
from dsrna.bounds.movement import Move
from dsrna.types import Norm


class LipschitzGain(AbstractTensor):
    """How far a value may move for each unit that the image does: a bound on the Lipschitz constant, as a log-normal.

    ``network(LipschitzGain.of_images(x, norm, spread))`` runs the network's own forward. ln L is normal with mean
    ``log_mean`` and variance ``log_variance``. The rules, in l_inf or l_2 for images and logits alike:

    - linear, convolution: times the operator norm: in l_inf the largest row sum of |W|; in l_2 its bound by Schur, the
      root of the largest row sum times the largest column sum. BatchNorm: times the largest factor. Pooling, means and
      moves likewise; ReLU leaves L as it is;
    - a known factor that is a single tensor is an operation weight w: log-normal too, with median w and ln-variance
      spread^2, independent of others;
    - sums: the log-normal with the same mean and variance (Fenton and Wilkinson), where the smallest ln-variance among
      the terms is taken as common to all of them, as they come from common operations, and the rest as independent.
      Concatenation: in l_2 the same of squares, in l_inf the one of the largest median.

    The image begins with ln-variance spread^2, so that no L is certain. Differentiable in network and operation
    weights. An operation weight that serves several cells counts as another one in each. Cost: a forward pass of a
    single image, whose values are not looked at.

    Args:
        zeros: (1, ...), of the value's shape.
        log_mean, log_variance: scalars.
        norm: ``"linf"`` or ``"l2"``.
        spread: of operation weights.

    Source: Dong et al., Adversarially Robust Neural Architectures (2020), section 3. Differs: there operations have
    spectral norms by power iteration, and the distribution of the operation weights is what is searched.
    """

    def __init__(self, zeros: Tensor, log_mean: Tensor, log_variance: Tensor, norm: Norm, spread: float) -> None:
        self.zeros = zeros
        self.log_mean, self.log_variance = log_mean, log_variance
        self.norm: Norm = norm
        self.spread = spread

    @classmethod
    def of_images(cls, x: Tensor, norm: Norm, spread: float) -> Self:
        """The image itself: its constant is 1."""
        return cls(torch.zeros_like(x[:1]), x.new_zeros(()), x.new_full((), spread**2), norm, spread)

    @property
    def shape(self) -> torch.Size:
        return self.zeros.shape

    @property
    def device(self) -> torch.device:
        return self.zeros.device

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
        for size, step in zip(_pair(kernel_size), _pair(kernel_size if stride is None else stride), strict=True):
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
        first, zeros = tensors[0], torch.cat([tensor.zeros for tensor in tensors], dim)
        if first.norm == "linf":
            largest = max(tensors, key=lambda tensor: float(tensor.log_mean.detach()))
            return first._made(zeros, largest.log_mean, largest.log_variance)
        squares = _sum([2 * tensor.log_mean for tensor in tensors], [4 * tensor.log_variance for tensor in tensors])
        return first._made(zeros, squares[0] / 2, squares[1] / 4)

    def _plus(self, other: Any) -> Self:
        if isinstance(other, LipschitzGain):
            terms = (self, other)
            return self._made(
                self.zeros + other.zeros, *_sum([t.log_mean for t in terms], [t.log_variance for t in terms])
            )
        return self._made(self.zeros + 0 * other, self.log_mean, self.log_variance)

    def _times(self, factor: Any) -> Self:
        if not isinstance(factor, Tensor):
            return self._scaled(self.zeros, abs(factor))
        scaled = self._scaled(self.zeros * factor.detach().abs(), factor.abs().max())
        if factor.ndim == 0:
            scaled.log_variance = scaled.log_variance + self.spread**2
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
        return self._made(zeros, self.log_mean + log_norm, self.log_variance)

    def _made(self, zeros: Tensor, log_mean: Tensor, log_variance: Tensor) -> Self:
        return type(self)(zeros, log_mean, log_variance, self.norm, self.spread)


def _sum(log_means: list[Tensor], log_variances: list[Tensor]) -> tuple[Tensor, Tensor]:
    means, variances = torch.stack(log_means), torch.stack(log_variances)
    common = variances.amin()
    own = variances - common
    log_mean = torch.logsumexp(means + own / 2, dim=0)
    relative = own.expm1() * (2 * (means + own / 2 - log_mean)).exp()  # variances over the squared mean
    variance = relative.sum().log1p()
    return log_mean - variance / 2, common + variance


def _log(value: Tensor | float, like: Tensor) -> Tensor:
    tensor = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    return tensor.clamp_min(torch.finfo(like.dtype).tiny).log()


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
