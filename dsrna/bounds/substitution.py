"""Backward substitution: from rows over an output to an affine function of the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor


class Substituted(NamedTuple):
    """Rows over the inputs of a node, and what they leave over.

    Attributes:
        rows: (R, N, ...) over each input.
        constant: (R, N), or None for 0.
    """

    rows: tuple[Tensor, ...]
    constant: Tensor | None = None


class Node:
    """A value inside a network, as an affine function of other values or between affine functions of them.

    Args:
        shape: (N, ...) of the value.
        inputs: what it is a function of; none for the image.
        substitute: rows (R, N, ...) over the value -> rows over each input, and a constant. For a nonlinear function
            these make a lower bound: rows . value >= sum of substituted rows . inputs + constant.

    Attributes:
        depth: larger than that of every input, so that rows can be added up in this order.
        widest: entries an image has in the largest value on the way to the image.
        rounding: (N, ...), how far the value may be off what its operation gives without rounding; None for not at all.
    """

    def __init__(
        self,
        shape: torch.Size,
        inputs: tuple[Node, ...] = (),
        substitute: Callable[[Tensor], Substituted] | None = None,
    ) -> None:
        self.shape = shape
        self.inputs = inputs
        self.depth: int = 1 + max((node.depth for node in inputs), default=0)
        self.widest: int = max(shape[1:].numel(), *(node.widest for node in inputs), 0)
        self.rounding: Tensor | None = None
        self._substitute = substitute

    def rounded(self, rounding: Tensor | None) -> Self:
        """The node, of a value that is rounded."""
        self.rounding = rounding
        return self

    @property
    def is_linear(self) -> bool:
        """Whether rows and their opposite become opposite rows and constants; not so between planes, in subclasses."""
        return type(self) is Node

    def substitute(self, rows: Tensor) -> Substituted:
        """Rows over the value -> rows over each input, and a constant."""
        assert self._substitute is not None
        return self._substitute(rows)


class Affine(NamedTuple):
    """rows . image + constant, for R functions of each of N images.

    Attributes:
        rows: (R, N, ...).
        constant: (R, N).
    """

    rows: Tensor
    constant: Tensor


def lower_functions(output: Node, rows: Tensor, *, with_opposite: bool = False) -> Affine:
    """Affine functions of the image that are at most rows . output, for every image of the ball.

    Args:
        output: the node.
        rows: (R, N, ...) over it.
        with_opposite: also those of -rows, behind the others. Down to the first nonlinear node they are the same but
            for the sign, and are computed once.

    Returns:
        The R functions of each image, or 2 R. Differentiable in the rows and in all that the nodes' functions close
        over.
    """
    waiting = {output: rows}
    total, rounding = rows.new_zeros(rows.shape[:2]), rows.new_zeros(rows.shape[:2])
    while True:
        node = max(waiting, key=lambda candidate: candidate.depth)
        if with_opposite and not (node.is_linear and node.inputs):
            with_opposite = False
            waiting = {one: torch.cat([part, -part]) for one, part in waiting.items()}
            total, rounding = torch.cat([total, -total]), torch.cat([rounding, rounding])
        rows = waiting.pop(node)
        if not node.inputs:  # the image, as nothing is less deep
            return Affine(rows, total - rounding)
        if node.rounding is not None:
            rounding = rounding + dot(rows.abs(), node.rounding)
        substituted, constant = node.substitute(rows)
        if constant is not None:
            total = total + constant
        for source, part in zip(node.inputs, substituted, strict=True):
            waiting[source] = waiting[source] + part if source in waiting else part


def dot(rows: Tensor, values: Tensor) -> Tensor:
    """(R, N, ...) . (N, ...) -> (R, N); the values may be others for each row, (R, N, ...)."""
    if values.ndim == rows.ndim:
        return (rows * values).flatten(2).sum(dim=2)
    return torch.einsum("rnd,nd->rn", rows.flatten(2), values.flatten(1))


def fit(rows: Tensor, shape: torch.Size) -> Tensor:
    """Rows over a value that was broadcast from a shape -> rows over it."""
    return rows if rows.shape[1:] == shape else rows.sum_to_size((len(rows), *shape))
