"""The graph of a lowered network while it is being built."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dsrna.bounds.lowering.kernels import Pads, framed, pointwise_after, symmetric_padding
from dsrna.types import OperationWeights

Value = Callable[[OperationWeights | None], Tensor]
"""Computes a tensor of the lowered network anew from the network's own tensors and the operation weights."""


@dataclass(eq=False)
class Node:
    """One operation of a lowered network.

    Attributes:
        kind: ``input``, ``conv``, ``linear``, ``relu``, ``add``, ``mask``, ``concat`` or ``flatten``.
        parents: where its inputs come from.
        shape: of its output for one image, (C, H, W) or (D,).
        kernel: of a convolution or linear layer.
        bias: of a convolution or linear layer, or None.
        size, stride, padding: of a convolution, (vertical, horizontal).
        mask: constant factor of a ``mask``, (1, 1, H, W).
    """

    kind: str
    parents: tuple[Node, ...]
    shape: tuple[int, ...]
    kernel: Value | None = None
    bias: Value | None = None
    size: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    mask: Tensor | None = None


@dataclass
class Graph:
    """Nodes in the order of their creation, parents before children.

    Each method adds a node, or gives the one that is there already and computes the same.

    Attributes:
        like: gives dtype and device of constants.
        nodes: all nodes, also those that nothing needs any more.
    """

    like: Tensor
    nodes: list[Node] = field(default_factory=list)
    _known: dict[Hashable, Node] = field(default_factory=dict)

    def input(self, shape: tuple[int, ...]) -> Node:
        """The image."""
        return self._append(Node("input", (), shape))

    def relu(self, node: Node) -> Node:
        """max(x, 0)."""
        return self.once(("relu", node), lambda: self._append(Node("relu", (node,), node.shape)))

    def add(self, first: Node, second: Node) -> Node:
        """Sum of two nodes of one shape."""
        return self._append(Node("add", (first, second), first.shape))

    def mask(self, node: Node, mask: Tensor) -> Node:
        """Product with constants (1, 1, H, W)."""
        return self._append(Node("mask", (node,), node.shape, mask=mask.to(self.like)))

    def concat(self, nodes: tuple[Node, ...]) -> Node:
        """Concatenation over channels."""
        shape = (sum(node.shape[0] for node in nodes), *nodes[0].shape[1:])
        return self._append(Node("concat", nodes, shape))

    def flatten(self, node: Node) -> Node:
        """(C, H, W) -> (C * H * W,)."""
        size = int(torch.Size(node.shape).numel())
        return self.once(("flatten", node), lambda: self._append(Node("flatten", (node,), (size,))))

    def linear(self, node: Node, kernel: Value, bias: Value | None, outputs: int) -> Node:
        """W x + b; merged with a linear layer before it."""
        if node.kind == "linear":
            inner, shift = node.kernel, node.bias
            assert inner is not None
            return self.linear(
                node.parents[0],
                lambda weights: kernel(weights) @ inner(weights),
                _sum(bias, None if shift is None else lambda weights: kernel(weights) @ shift(weights)),
                outputs,
            )
        return self._append(Node("linear", (node,), (outputs,), kernel, bias))

    def conv(
        self,
        node: Node,
        kernel: Value,
        bias: Value | None,
        channels: int,
        size: tuple[int, int] = (1, 1),
        stride: tuple[int, int] = (1, 1),
        pads: Pads = Pads(),  # noqa: B008 (immutable)
    ) -> Node:
        """A dense convolution; one of 1 x 1 without padding is merged with a convolution before it.

        Args:
            node: what it is applied to, of shape (C, H, W).
            kernel: (channels, C, *size).
            bias: (channels,) or None.
            channels: of the output.
            size: of the kernel, (vertical, horizontal).
            stride: (vertical, horizontal).
            pads: any, see :class:`~dsrna.bounds.lowering.kernels.Pads`.
        """
        if node.kind == "conv" and size == (1, 1) and not any(pads):
            inner, shift = node.kernel, node.bias
            assert inner is not None
            merged_bias = _sum(
                bias, None if shift is None else lambda weights: kernel(weights)[:, :, 0, 0] @ shift(weights)
            )
            return self._append(
                Node(
                    "conv",
                    node.parents,
                    (channels, *(-(-length // step) for length, step in zip(node.shape[1:], stride, strict=True))),
                    lambda weights: pointwise_after(kernel(weights), inner(weights)),
                    merged_bias,
                    node.size,
                    (node.stride[0] * stride[0], node.stride[1] * stride[1]),
                    node.padding,
                )
            )
        padding, frame = symmetric_padding(pads)
        height = (node.shape[1] + pads.top + pads.bottom - size[0]) // stride[0] + 1
        width = (node.shape[2] + pads.left + pads.right - size[1]) // stride[1] + 1
        return self._append(
            Node(
                "conv",
                (node,),
                (channels, height, width),
                lambda weights: framed(kernel(weights), frame),
                bias,
                (size[0] + frame.top + frame.bottom, size[1] + frame.left + frame.right),
                stride,
                padding,
            )
        )

    def once(self, key: Hashable, build: Callable[[], Node]) -> Node:
        """The node that was built under a key before, or a new one."""
        if key not in self._known:
            self._known[key] = build()
        return self._known[key]

    def needed(self, output: Node) -> list[Node]:
        """The nodes that an output depends on, parents before children."""
        kept = {output}
        for node in reversed(self.nodes):
            if node in kept:
                kept.update(node.parents)
        return [node for node in self.nodes if node in kept]

    def _append(self, node: Node) -> Node:
        self.nodes.append(node)
        return node


def _sum(first: Value | None, second: Value | None) -> Value | None:
    if first is None or second is None:
        return first or second
    return lambda weights: first(weights) + second(weights)
