"""Products of two values in a backward substitution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dsrna.bounds.interval import Interval
from dsrna.bounds.substitution import Node, Substituted, dot

Bilinear = Callable[[Tensor, Tensor], Tensor]
"""Linear in each of two values, such as ``torch.mul`` or ``torch.matmul``, without negative coefficients."""


class ProductNode(Node):
    """B(x, y), sums of products, between planes: B(c_x, y) + B(x, c_y) - B(c_x, c_y) +- B(r_x, r_y).

    x y - c_x y - x c_y + c_x c_y = (x - c_x) (y - c_y) is at most r_x r_y in size. Each plane is the mean of
    McCormick's two, which leave equal volumes. Where ``result`` says more of the product, a constant is taken instead.

    Args:
        sources: nodes of both values.
        factors: their intervals.
        apply: B.
        result: an interval of the product.

    Source: McCormick, Computability of global solutions to factorable nonconvex programs: Part I (1976).
    """

    def __init__(
        self, sources: tuple[Node, Node], factors: tuple[Interval, Interval], apply: Bilinear, result: Interval
    ) -> None:
        super().__init__(result.shape, sources)
        first, second = factors
        self._apply, self._centres = apply, (first.centre, second.centre)
        self._middle, self._radius = apply(first.centre, second.centre), apply(first.radius, second.radius)
        self._low, self._high = result.lower, result.upper
        self._open_below = self._middle - self._radius >= self._low
        self._open_above = self._middle + self._radius <= self._high

    def substitute(self, rows: Tensor) -> Substituted:
        positive, negative = rows.clamp(min=0), rows.clamp(max=0)
        planes = torch.where(self._open_below, positive, 0.0) + torch.where(self._open_above, negative, 0.0)
        constant = -dot(planes, self._middle) - dot(planes.abs(), self._radius)
        for part, is_open, end in ((positive, self._open_below, self._low), (negative, self._open_above, self._high)):
            constant = constant + dot(torch.where(is_open, 0.0, part), torch.where(is_open, 0.0, end))
        x, y = self._centres
        return Substituted((self._pulled(planes, x, y, 0), self._pulled(planes, x, y, 1)), constant)

    def _pulled(self, rows: Tensor, x: Tensor, y: Tensor, place: int) -> Tensor:
        """Rows over B(x, y) -> rows over x or y."""
        other = (y, x)[place]
        graph = torch.is_grad_enabled() and (rows.requires_grad or other.requires_grad)
        with torch.enable_grad():
            zeros = torch.zeros_like((x, y)[place]).requires_grad_()
            value = self._apply(zeros, y) if place == 0 else self._apply(x, zeros)
        (pulled,) = torch.autograd.grad(value, zeros, rows, create_graph=graph, is_grads_batched=True)
        return pulled
