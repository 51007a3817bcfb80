"""Linear relaxation on networks as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.abstract_tensor import AbstractTensor
from dsrna.bounds.convolution import pair, transposed_conv2d
from dsrna.bounds.interval import Interval
from dsrna.bounds.maximum_node import MaximumNode
from dsrna.bounds.movement import Move
from dsrna.bounds.product_node import ProductNode
from dsrna.bounds.relu_node import ReluNode
from dsrna.bounds.scalar_function import ScalarFunction
from dsrna.bounds.scalar_node import ScalarNode
from dsrna.bounds.softmax_node import SoftmaxNode
from dsrna.bounds.standardisation import Standardisation
from dsrna.bounds.substitution import Node, Substituted, fit
from dsrna.bounds.variance_node import VarianceNode
from dsrna.functional.pooling import average_pool

Tighten = Callable[[Node, Interval, Tensor], Interval]
"""(node, its interval, (N, ...) bool: which entries are worth it) -> a narrower interval of the same value."""


class Relaxation(AbstractTensor):
    """A value of the network, known by an interval and as a node of the graph that is substituted backwards.

    ``network(Relaxation.ball(...))`` runs the network's own forward. Every operation keeps an interval of its result,
    from which ReLU and max pooling take the lines between which they lie, and a node that tells how rows over the
    result become rows over its operands; see :func:`dsrna.bounds.substitution.lower_functions`.

    A ReLU of one and the same value is relaxed once, however many operations ask for it: rows add up before they are
    split by their signs, which is cheaper and tighter.

    Args:
        interval: of the value.
        node: of the value.
        tighten: narrows the interval of what goes into a ReLU or max pooling; None to leave it.

    Raises:
        UnsupportedError: by any operation for which there's no rule.
    """

    def __init__(self, interval: Interval, node: Node, tighten: Tighten | None = None) -> None:
        self.interval = interval
        self.node = node
        self._tighten = tighten

    @classmethod
    def ball(cls, ball: Interval, tighten: Tighten | None = None) -> Self:
        """The image itself, in a ball by :meth:`Interval.ball`."""
        return cls(ball, Node(ball.shape), tighten)

    @property
    def shape(self) -> torch.Size:
        return self.interval.shape

    @property
    def device(self) -> torch.device:
        return self.interval.device

    @property
    def dtype(self) -> torch.dtype:
        return self.interval.dtype

    def conv2d(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Self:
        height, width = self.shape[2:]

        def substitute(rows: Tensor) -> Substituted:
            substituted = transposed_conv2d(rows, weight, (height, width), stride, padding, dilation, groups)
            return Substituted((substituted,), None if bias is None else rows.sum(dim=(3, 4)) @ bias)

        return self._next(self.interval.conv2d(weight, bias, stride, padding, dilation, groups), substitute)

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Self:
        def substitute(rows: Tensor) -> Substituted:
            return Substituted((rows @ weight,), None if bias is None else (rows * bias).flatten(2).sum(dim=2))

        return self._next(self.interval.linear(weight, bias), substitute)

    def normalise(
        self, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, smallest: float
    ) -> Self:
        scale = (variance + smallest).rsqrt() if weight is None else (variance + smallest).rsqrt() * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        channels = (-1, *[1] * (self.ndim - 2))

        def substitute(rows: Tensor) -> Substituted:
            return Substituted(
                (rows * scale.view(channels),), rows.flatten(2).unflatten(2, (len(shift), -1)).sum(3) @ shift
            )

        return self._next(self.interval.normalise(mean, variance, weight, bias, smallest), substitute)

    def _rectified(self) -> Self:
        if self._tighten is not None:
            self._narrow((self.interval.lower < 0) & (self.interval.upper > 0))
        rectified = self.interval.relu()
        return type(self)(rectified, ReluNode(self.node, self.interval).rounded(rectified.rounding), self._tighten)

    def _entrywise(self, function: ScalarFunction) -> Self:
        if self._tighten is not None:
            self._narrow(self.interval.radius > 0)
        inside = self.interval.inside(function)
        result = inside._entrywise(function)
        node = ScalarNode(self.node, inside, function).rounded(result.rounding)
        return type(self)(result, node, self._tighten)

    def _standardised(self, dims: tuple[int, ...], smallest: float) -> Self:
        statistics = Standardisation(self.interval, dims, smallest)
        deviations = self._next(
            statistics.deviations(), lambda rows: Substituted((rows - rows.mean([d + 1 for d in dims], keepdim=True),))
        )
        deviations._narrow(deviations.interval.radius > 0)
        variance = VarianceNode(self.node, statistics, deviations.interval)
        interval = statistics.power(deviations.interval)
        power = type(self)(interval, variance.rounded(interval.rounding), self._tighten)
        root = power._entrywise(statistics.inverse_root)  # which narrows the power
        result = statistics.result(deviations.interval, power.interval)
        return self._multiplied((deviations, root), result)

    def _product(self, other: Self) -> Self:
        return self._narrowly_multiplied(other, matrices=False)

    def _matrix_product(self, other: Self) -> Self:
        return self._narrowly_multiplied(other, matrices=True)

    def _softmax(self) -> Self:
        self._narrow(self.interval.radius > 0)
        result = self.interval._softmax()
        return type(self)(result, SoftmaxNode(self.node, self.interval, result).rounded(result.rounding), self._tighten)

    def _narrowly_multiplied(self, other: Self, *, matrices: bool) -> Self:
        for factor in (self, other) if other is not self else (self,):
            factor._narrow(factor.interval.radius > 0)
        first, second = self.interval, other.interval
        return self._multiplied((self, other), first @ second if matrices else first * second, matrices=matrices)

    def _multiplied(self, factors: tuple[Self, Self], result: Interval, *, matrices: bool = False) -> Self:
        first, second = factors
        node = ProductNode((first.node, second.node), (first.interval, second.interval), result, matrices)
        return type(self)(result, node.rounded(result.rounding), self._tighten)

    def max_pool2d(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Self:
        pairs = (pair(kernel_size), pair(stride or kernel_size), pair(padding), pair(dilation))
        node = MaximumNode(self.node, self.interval, *pairs, ceil_mode)
        if self._tighten is not None:
            self._narrow(node.at_stake)
            node = MaximumNode(self.node, self.interval, *pairs, ceil_mode)
        pooled = self.interval.max_pool2d(kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        return type(self)(pooled, node.rounded(pooled.rounding), self._tighten)

    def avg_pool2d(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Self:
        def pool(values: Tensor) -> Tensor:
            return average_pool(values, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

        pooled = self.interval.avg_pool2d(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return self._linear(pooled, pool)

    def adaptive_avg_pool2d(self, output_size: Any) -> Self:
        return self._linear(
            self.interval.adaptive_avg_pool2d(output_size), lambda values: F.adaptive_avg_pool2d(values, output_size)
        )

    def _mean(self, dim: tuple[int, ...], keepdim: bool) -> Self:
        return self._linear(self.interval.mean(dim, keepdim), lambda values: values.mean(dim=dim, keepdim=keepdim))

    def _moved(self, move: Move) -> Self:
        return self._linear(self.interval._moved(move), move)

    @classmethod
    def _joined(cls, tensors: Sequence[Self], dim: int) -> Self:
        sizes = [tensor.shape[dim] for tensor in tensors]
        joined = Interval.cat([tensor.interval for tensor in tensors], dim)
        inputs = tuple(tensor.node for tensor in tensors)
        node = Node(joined.shape, inputs, lambda rows: Substituted(rows.split(sizes, dim=dim + 1)))
        return cls(joined, node, tensors[0]._tighten)

    def _plus(self, other: Any) -> Self:
        if isinstance(other, Relaxation):
            mine, others = self.shape, other.shape
            summed = self.interval + other.interval
            node = Node(
                summed.shape, (self.node, other.node), lambda rows: Substituted((fit(rows, mine), fit(rows, others)))
            )
            return type(self)(summed, node.rounded(summed.rounding), self._tighten)
        shape = self.shape
        return self._next(
            self.interval + other, lambda rows: Substituted((fit(rows, shape),), (rows * other).flatten(2).sum(dim=2))
        )

    def _times(self, factor: Any) -> Self:
        shape = self.shape
        return self._next(self.interval * factor, lambda rows: Substituted((fit(rows * factor, shape),)))

    def _next(self, interval: Interval, substitute: Callable[[Tensor], Substituted]) -> Self:
        node = Node(interval.shape, (self.node,), substitute).rounded(interval.rounding)
        return type(self)(interval, node, self._tighten)

    def _linear(self, interval: Interval, function: Callable[[Tensor], Tensor]) -> Self:
        """A linear function without constants, substituted backwards by automatic differentiation."""
        like, shape = self.interval.centre, self.shape

        def substitute(rows: Tensor) -> Substituted:
            graph = torch.is_grad_enabled() and rows.requires_grad
            with torch.enable_grad():
                zeros = like.new_zeros(shape, requires_grad=True)
                value = function(zeros)
            return Substituted(torch.autograd.grad(value, zeros, rows, create_graph=graph, is_grads_batched=True))

        return self._next(interval, substitute)

    def _narrow(self, wanted: Tensor) -> None:
        if self._tighten is not None:
            self.interval = self._tighten(self.node, self.interval, wanted)
