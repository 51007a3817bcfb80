"""What stands for a tensor while a network is lowered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.abstract_tensor import AbstractTensor
from dsrna.bounds.convolution import pair
from dsrna.bounds.lowering.graph import Graph, Node, Value
from dsrna.bounds.lowering.kernels import Pads, dense_kernel
from dsrna.bounds.lowering.operation_weight import OperationWeight
from dsrna.bounds.lowering.pooling import average_pooled, max_pooled
from dsrna.bounds.lowering.rearrangement import as_rearrangement
from dsrna.bounds.movement import Move
from dsrna.bounds.scalar_function import ScalarFunction

Sources = Mapping[int, Callable[[], Tensor]]
"""id of a parameter or buffer of the network -> how to get it again."""


class Symbol(AbstractTensor):
    """A node of the graph of a lowered network, with a rearrangement of its values that isn't a node yet.

    Running a network's forward on one builds the graph. Rearrangements are collected as an index of where each value
    comes from, and become one convolution when an operation needs the values.

    Args:
        graph: where nodes are added.
        sources: parameters and buffers that the network computes with.
        node: the values come from its output.
        index: (1, ...) int64; 1 + the position of each value in the node's flattened output, or 0 for a zero. None for
            the node's output as it is.
    """

    def __init__(self, graph: Graph, sources: Sources, node: Node, index: Tensor | None = None) -> None:
        self.graph = graph
        self.sources = sources
        self._node = node
        self._index = index

    @property
    def shape(self) -> torch.Size:
        return torch.Size((1, *self._node.shape)) if self._index is None else self._index.shape

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return self.graph.like.dtype

    def resolve(self) -> Node:
        """The node that has these values as its output."""
        node, index = self._node, self._index
        if index is None:
            return node
        if torch.equal(index, _positions(node.shape)):
            return node
        if torch.equal(index, _positions(node.shape).flatten(1)):
            return self.graph.flatten(node)
        key = ("rearrange", node, tuple(index.shape), index.numpy().tobytes())
        return self.graph.once(key, lambda: self._rearranged(node, index[0]))

    def conv2d(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Self:
        if isinstance(padding, str):
            self._refuse(f"a convolution with padding={padding!r}; give it as numbers")
        kernel, steps = self._value(weight), pair(dilation)
        vertical, horizontal = pair(padding)
        return self._with(
            self.graph.conv(
                self.resolve(),
                lambda weights: dense_kernel(kernel(weights), groups, steps),
                None if bias is None else self._value(bias),
                weight.shape[0],
                ((weight.shape[2] - 1) * steps[0] + 1, (weight.shape[3] - 1) * steps[1] + 1),
                pair(stride),
                Pads(horizontal, horizontal, vertical, vertical),
            )
        )

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Self:
        if self.ndim != 2:
            self._refuse(f"a linear layer on {self.ndim - 1} dimensions; flatten before it")
        shift = None if bias is None else self._value(bias)
        return self._with(self.graph.linear(self.resolve(), self._value(weight), shift, weight.shape[0]))

    def normalise(
        self, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, smallest: float
    ) -> Self:
        centre, spread = self._value(mean), self._value(variance)
        gain = None if weight is None else self._value(weight)
        offset = None if bias is None else self._value(bias)

        def scale(weights: Any) -> Tensor:
            inverse = (spread(weights) + smallest).rsqrt()
            return inverse if gain is None else inverse * gain(weights)

        def shift(weights: Any) -> Tensor:
            moved = -centre(weights) * scale(weights)
            return moved if offset is None else moved + offset(weights)

        return self._scaled(scale, shift)

    def _rectified(self) -> Self:
        return self._with(self.graph.relu(self.resolve()))

    def _entrywise(self, function: ScalarFunction) -> Self:
        self._refuse("smooth activation functions in a lowered network")

    def max_pool2d(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Self:
        if return_indices or pair(dilation) != (1, 1):
            self._refuse("max pooling with dilation or indices")
        window = pair(kernel_size)
        node = max_pooled(
            self.graph, self.resolve(), window, pair(stride or window), pair(padding), ceil_mode=ceil_mode
        )
        if node is None:
            self._refuse("max pooling with windows whose middle lies outside of the map")
        return self._with(node)

    def avg_pool2d(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Self:
        if ceil_mode or divisor_override is not None:
            self._refuse("average pooling with ceil_mode or divisor_override")
        window = pair(kernel_size)
        return self._with(
            average_pooled(
                self.graph,
                self.resolve(),
                window,
                pair(stride or window),
                pair(padding),
                count_include_pad=count_include_pad,
            )
        )

    def adaptive_avg_pool2d(self, output_size: Any) -> Self:
        wanted = tuple(
            size if size is not None else length for size, length in zip(pair(output_size), self.shape[2:], strict=True)
        )
        if any(length % size for size, length in zip(wanted, self.shape[2:], strict=True)):
            self._refuse(f"adaptive pooling of {tuple(self.shape[2:])} to {wanted}, which doesn't divide it")
        return self.avg_pool2d((self.shape[2] // wanted[0], self.shape[3] // wanted[1]))

    def _mean(self, dim: tuple[int, ...], keepdim: bool) -> Self:
        if self.ndim != 4 or sorted(dim) != [2, 3]:
            self._refuse("a mean over anything but a map's rows and columns, dim=(2, 3)")
        if keepdim:
            return self.adaptive_avg_pool2d(1)
        channels, size = self.shape[1], self.shape[2] * self.shape[3]
        average = torch.eye(channels).repeat_interleave(size, dim=1).to(self.graph.like) / size
        return self._with(self.graph.linear(self.flatten(1).resolve(), lambda weights: average, None, channels))

    def _moved(self, move: Move) -> Self:
        moved = move(_positions(self._node.shape) if self._index is None else self._index)
        return self._with(self._node, moved)

    @classmethod
    def _joined(cls, tensors: Sequence[Self], dim: int) -> Self:
        if dim != 1:
            cls._refuse("concatenation over anything but channels, dim=1")
        first = tensors[0]
        return first._with(first.graph.concat(tuple(tensor.resolve() for tensor in tensors)))

    def _plus(self, other: Any) -> Self:
        if not isinstance(other, Symbol):
            return self._scaled(lambda weights: self.graph.like.new_ones(()), self._known(other))
        if self.shape != other.shape:
            self._refuse("a sum of values of other shapes")
        if self._is_zero or other._is_zero:
            return self._with(*((other._node, other._index) if self._is_zero else (self._node, self._index)))
        return self._with(self.graph.add(self.resolve(), other.resolve()))

    def _times(self, factor: Any) -> Self:
        if isinstance(factor, int | float) and factor == 0:
            return self.rearrange(torch.zeros_like)
        if self._is_zero:
            return self._with(self._node, self._index)
        return self._scaled(self._known(factor), None)

    def __neg__(self) -> Self:
        return self * -1.0

    def __sub__(self, other: Any) -> Self:
        if isinstance(other, Symbol):
            return self + -other
        value = self._known(other)
        return self._scaled(lambda weights: self.graph.like.new_ones(()), lambda weights: -value(weights))

    def _divide(self, divisor: Any) -> Self:
        value = self._known(divisor)
        return self._scaled(lambda weights: 1 / value(weights), None)

    @property
    def _is_zero(self) -> bool:
        return self._index is not None and not bool(self._index.any())

    def _scaled(self, scale: Value, shift: Value | None) -> Self:
        """x * scale + shift, with one number for all values or one for each channel."""
        node = self.resolve()
        channels = node.shape[0]

        def kernel(weights: Any) -> Tensor:
            return torch.diag(_per_channel(scale(weights), channels))

        bias: Value | None = None
        if shift is not None:
            offset = shift

            def bias(weights: Any) -> Tensor:
                return _per_channel(offset(weights), channels)

        if len(node.shape) == 1:
            return self._with(self.graph.linear(node, kernel, bias, channels))
        return self._with(self.graph.conv(node, lambda weights: kernel(weights)[:, :, None, None], bias, channels))

    def _known(self, known: Any) -> Value:
        """Known numbers of an arithmetic operation: one for all values, or one for each channel."""
        shape = (1,) * (self.ndim - len(known.shape)) + tuple(known.shape) if isinstance(known, Tensor) else (1,)
        if any(length != 1 for axis, length in enumerate(shape) if axis != 1) or shape[1:2] not in (
            (),
            (1,),
            self.shape[1:2],
        ):
            self._refuse(f"sums and products with numbers of shape {tuple(known.shape)}, not one a channel")
        return self._value(known)

    def _value(self, known: Any) -> Value:
        if isinstance(known, OperationWeight):
            return lambda weights: known.value(weights).to(self.graph.like)
        if isinstance(known, int | float):
            return lambda weights: self.graph.like.new_tensor(known)
        if id(known) not in self.sources:
            self._refuse(
                f"a tensor of shape {tuple(known.shape)} that is computed in the forward pass from weights, in a "
                "lowered network (its value could not follow the weights; `IBP` can bound it)"
            )
        get = self.sources[id(known)]
        return lambda weights: get()

    def _rearranged(self, node: Node, index: Tensor) -> Node:
        if len(node.shape) != 3 or index.dim() != 3:
            self._refuse("moving values between channels and places of a map")
        channels = index.shape[0]
        if not bool(index.any()):
            nothing = self.graph.like.new_zeros(channels, node.shape[0], 1, 1)
            pads = Pads(right=index.shape[2] - node.shape[2], bottom=index.shape[1] - node.shape[1])
            return self.graph.conv(node, lambda weights: nothing, None, channels, pads=pads)
        moved = as_rearrangement(index, node.shape)
        if moved is None:
            self._refuse("moving values other than by choosing channels, cropping, padding and striding")
        choice = F.one_hot(moved.channels, node.shape[0]).to(self.graph.like)[:, :, None, None]
        return self.graph.conv(node, lambda weights: choice, None, channels, (1, 1), moved.stride, moved.pads)

    def _with(self, node: Node, index: Tensor | None = None) -> Self:
        return type(self)(self.graph, self.sources, node, index)


def _positions(shape: tuple[int, ...]) -> Tensor:
    return torch.arange(1, torch.Size(shape).numel() + 1).view(1, *shape)


def _per_channel(values: Tensor, channels: int) -> Tensor:
    """One number, or one a channel, of whatever shape -> (C,)."""
    return values.reshape(-1).expand(channels)
