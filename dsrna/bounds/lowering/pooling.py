"""Pooling by convolutions, ReLUs and constant masks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.lowering.graph import Graph, Node, Value
from dsrna.bounds.lowering.kernels import Pads

Pair = tuple[int, int]


def average_pooled(
    graph: Graph, node: Node, window: Pair, stride: Pair, padding: Pair, *, count_include_pad: bool
) -> Node:
    """Average pooling: a fixed convolution, times a constant mask where windows at the border have fewer values.

    Args:
        graph: where nodes are added.
        node: (C, H, W).
        window, stride, padding: (vertical, horizontal).
        count_include_pad: whether zeros of the padding count as values.
    """

    def build() -> Node:
        averaged = graph.conv(
            node,
            _diagonal(graph.like.new_full(window, 1 / (window[0] * window[1])), node.shape[0]),
            None,
            node.shape[0],
            window,
            stride,
            Pads(padding[1], padding[1], padding[0], padding[0]),
        )
        if count_include_pad or not any(padding):
            return averaged
        filled = F.avg_pool2d(graph.like.new_ones(1, 1, *node.shape[1:]), window, stride, padding)
        return graph.mask(averaged, 1 / filled)

    return graph.once(("average", node, window, stride, padding, count_include_pad), build)


def max_pooled(graph: Graph, node: Node, window: Pair, stride: Pair, padding: Pair, *, ceil_mode: bool) -> Node | None:
    """Max pooling, first over columns, then over rows, by max(a, b) = a + ReLU(b - a); see :func:`_max_along`.

    Returns:
        The node; or None where there are windows whose value at the padding's offset lies outside of the map.
    """
    sample = graph.like.new_zeros(1, 1, *node.shape[1:])
    height, width = F.max_pool2d(sample, window, stride, padding, ceil_mode=ceil_mode).shape[2:]
    if (height - 1) * stride[0] >= node.shape[1] or (width - 1) * stride[1] >= node.shape[2]:
        return None

    def build() -> Node:
        columns = _max_along(graph, node, 1, window[1], stride[1], padding[1], width)
        return _max_along(graph, columns, 0, window[0], stride[0], padding[0], height)

    return graph.once(("max", node, window, stride, padding, ceil_mode), build)


def _max_along(graph: Graph, node: Node, axis: int, window: int, stride: int, padding: int, outputs: int) -> Node:
    """Maximum over windows of one axis.

    Starts from the value at the padding's offset, which lies in the map for every window, and takes the others in one
    by one. Where another value is outside of the map, a mask of zero keeps it out.
    """
    length = node.shape[1 + axis]
    result = _shifted(graph, node, axis, stride, 0, outputs)
    for offset in range(-padding, window - padding):
        inside = torch.tensor([0 <= position * stride + offset < length for position in range(outputs)])
        if offset == 0 or not bool(inside.any()):
            continue
        other = _shifted(graph, node, axis, stride, offset, outputs)
        excess = graph.relu(graph.add(other, _negated(graph, result)))
        if not bool(inside.all()):
            excess = graph.mask(excess, inside.view((1, 1, 1, -1) if axis == 1 else (1, 1, -1, 1)))
        result = graph.add(result, excess)
    return result


def _shifted(graph: Graph, node: Node, axis: int, stride: int, offset: int, outputs: int) -> Node:
    """The values at i * stride + offset along one axis, zeros outside of the map."""
    if (stride, offset, outputs) == (1, 0, node.shape[1 + axis]):
        return node
    before, after = -offset, stride * (outputs - 1) + 1 + offset - node.shape[1 + axis]
    kernel = _diagonal(graph.like.new_ones(1, 1), node.shape[0])
    if axis == 1:
        return graph.conv(node, kernel, None, node.shape[0], (1, 1), (1, stride), Pads(left=before, right=after))
    return graph.conv(node, kernel, None, node.shape[0], (1, 1), (stride, 1), Pads(top=before, bottom=after))


def _negated(graph: Graph, node: Node) -> Node:
    return graph.conv(node, _diagonal(graph.like.new_full((1, 1), -1.0), node.shape[0]), None, node.shape[0])


def _diagonal(kernel: Tensor, channels: int) -> Value:
    dense = torch.einsum("oc,hw->ochw", torch.eye(channels).to(kernel), kernel)
    return lambda weights: dense
