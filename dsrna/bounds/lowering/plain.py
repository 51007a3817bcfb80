"""A lowered network's graph without concatenation and products, for readers that know neither."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from itertools import accumulate, pairwise
from typing import cast

import torch
from torch import Tensor

from dsrna.bounds.lowering.graph import Graph, Node, Value
from dsrna.bounds.lowering.kernels import Pads
from dsrna.errors import UnsupportedError


def plain(output: Node, graph: Graph) -> tuple[Node, Graph]:
    """The same function of convolutions, linear layers, ReLU, sums and flattening alone.

    - A convolution or linear layer of a concatenation is the sum of those of its parts, by the columns of its kernel.
      ReLU and flattening are applied to each part; a sum of things that were concatenated in different ways embeds
      them by convolutions of 1 x 1.
    - A product with a constant map that is a column times a row, as pooling has at the border: the map, and for every
      row and column of another factor a convolution that takes it out and one that puts it back, times what is
      missing. As a factor of 0 then is a difference x - x, intervals are wider than those of the product.

    Args:
        output: the node of the logits.
        graph: its graph.

    Raises:
        UnsupportedError: a constant map is no column times a row.
    """
    made = Graph(like=graph.like)
    parts: dict[Node, tuple[Node, ...]] = {}
    for node in graph.needed(output):
        parts[node] = _parts(made, node, [parts[parent] for parent in node.parents])
    return _whole(made, parts[output]), made


def _parts(graph: Graph, node: Node, inputs: list[tuple[Node, ...]]) -> tuple[Node, ...]:
    """Nodes whose concatenation is the node's value."""
    match node.kind:
        case "input":
            return (graph.input(node.shape),)
        case "concat":
            return tuple(part for parts in inputs for part in parts)
        case "relu":
            return tuple(graph.relu(part) for part in inputs[0])
        case "flatten":
            return tuple(graph.flatten(part) for part in inputs[0])
        case "mask":
            mask = cast(Tensor, node.mask)[0, 0].expand(node.shape[1:])
            return tuple(_masked(graph, part, mask) for part in inputs[0])
        case "add":
            return _added(graph, *inputs)
        case _:
            return (_summed(graph, [_layer(graph, node, part, place) for part, place in _places(inputs[0])]),)


def _added(graph: Graph, first: tuple[Node, ...], second: tuple[Node, ...]) -> tuple[Node, ...]:
    if [part.shape for part in first] == [part.shape for part in second]:
        return tuple(graph.add(one, other) for one, other in zip(first, second, strict=True))
    return (graph.add(_whole(graph, first), _whole(graph, second)),)


def _layer(graph: Graph, node: Node, part: Node, place: slice) -> Node:
    """What a convolution or linear layer makes of one part of its input; the bias goes with the first."""
    kernel = cast(Value, node.kernel)
    bias = node.bias if place.start == 0 else None

    def columns(weights: object) -> Tensor:
        return kernel(cast(None, weights))[:, place]

    if node.kind == "linear":
        return graph.linear(part, columns, bias, node.shape[0])
    vertical, horizontal = node.padding
    pads = Pads(horizontal, horizontal, vertical, vertical)
    return graph.conv(part, columns, bias, node.shape[0], node.size, node.stride, pads)


def _whole(graph: Graph, parts: tuple[Node, ...]) -> Node:
    """One node for a concatenation: the sum of its parts, each among channels of zeros."""
    if len(parts) == 1:
        return parts[0]
    total = sum(part.shape[0] for part in parts)
    embedded = []
    for part, place in _places(parts):
        columns = torch.eye(total)[:, place].to(graph.like)
        if len(part.shape) == 1:
            embedded.append(graph.linear(part, _constant(columns), None, total))
        else:
            embedded.append(graph.conv(part, _constant(columns[:, :, None, None]), None, total))
    return _summed(graph, embedded)


def _masked(graph: Graph, node: Node, mask: Tensor) -> Node:
    """A map (C, H, W) times constants (H, W)."""
    usual = Counter(mask[mask != 0].tolist()).most_common(1)[0][0]
    row = mask[int((mask == usual).sum(dim=1).argmax())]
    column = mask[:, int((row == usual).nonzero()[0])]
    if not torch.allclose(column[:, None] * row / usual, mask, rtol=1e-6, atol=0):
        raise UnsupportedError("Expected constant factors that are a column times a row, got others.")
    if usual != 1:
        diagonal = usual * torch.eye(node.shape[0]).to(graph.like)
        node = graph.conv(node, _constant(diagonal[:, :, None, None]), None, node.shape[0])
    for axis, factors in ((2, row / usual), (1, column / usual)):
        corrections = [
            _line_alone(graph, node, axis, place, factor - 1)
            for place, factor in enumerate(factors.tolist())
            if factor != 1
        ]
        node = _summed(graph, [node, *corrections])
    return node


def _line_alone(graph: Graph, node: Node, axis: int, place: int, factor: float) -> Node:
    """One row (axis 1) or column (axis 2) of a map, times a factor; zeros elsewhere."""
    channels, rest = node.shape[0], node.shape[axis] - 1 - place
    identity = torch.eye(channels).to(graph.like)[:, :, None, None]
    cut, put = (
        Pads(left=sign * place, right=sign * rest) if axis == 2 else Pads(top=sign * place, bottom=sign * rest)
        for sign in (-1, 1)
    )
    line = graph.conv(node, _constant(identity), None, channels, pads=cut)
    return graph.conv(line, _constant(factor * identity), None, channels, pads=put)


def _places(parts: tuple[Node, ...]) -> list[tuple[Node, slice]]:
    """Each part with the channels, or entries, that are its own."""
    ends = accumulate((part.shape[0] for part in parts), initial=0)
    return [(part, slice(*place)) for part, place in zip(parts, pairwise(ends), strict=True)]


def _summed(graph: Graph, nodes: list[Node]) -> Node:
    return reduce(graph.add, nodes)


def _constant(values: Tensor) -> Value:
    return lambda weights: values
