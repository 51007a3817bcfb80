"""Products of two values in a backward substitution."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dsrna.bounds.interval import Interval
from dsrna.bounds.substitution import Node, Substituted, dot, fit


class Plane(NamedTuple):
    """first * x + second * y + constant, for each product x y."""

    first: Tensor
    second: Tensor
    constant: Tensor


class ProductNode(Node):
    """Products x y, or a matrix product, whose every product of two numbers lies between two planes.

    See :func:`plane_below`. Where ``result`` says more of the products, a constant is taken instead.

    Args:
        sources: nodes of both values.
        factors: their intervals: broadcast to one shape, or matrices (N, ..., n, k) and (N, ..., k, m).
        result: an interval of the product.
        matrices: whether it is a matrix product.
    """

    def __init__(
        self, sources: tuple[Node, Node], factors: tuple[Interval, Interval], result: Interval, matrices: bool
    ) -> None:
        super().__init__(result.shape, sources)
        x, y = factors
        if matrices:
            x, y = x.unsqueeze(-1), y.unsqueeze(-3)
        above = plane_below(x, Interval(-y.centre, y.radius))
        self._matrices, self._low, self._high = matrices, result.lower, result.upper
        self._below = self._summed(plane_below(x, y))
        self._above = self._summed(Plane(-above.first, above.second, -above.constant))
        middle, radius = (
            torch.matmul(*parts) if matrices else parts[0] * parts[1]
            for parts in zip(*((factor.centre, factor.radius) for factor in factors), strict=True)
        )
        self._open_below, self._open_above = middle - radius >= self._low, middle + radius <= self._high

    def substitute(self, rows: Tensor) -> Substituted:
        constant = rows.new_zeros(rows.shape[:2])
        parts = []
        for part, is_open, plane, end in (
            (rows.clamp(min=0), self._open_below, self._below, self._low),
            (rows.clamp(max=0), self._open_above, self._above, self._high),
        ):
            through = torch.where(is_open, part, 0.0)
            constant = constant + dot(through, plane.constant) + dot(part - through, end)
            parts.append((self._over_first(through, plane.first), self._over_second(through, plane.second)))
        (first, second), (other_first, other_second) = parts
        return Substituted((first + other_first, second + other_second), constant)

    def _summed(self, plane: Plane) -> Plane:
        return plane._replace(constant=plane.constant.sum(-2)) if self._matrices else plane

    def _over_first(self, rows: Tensor, slopes: Tensor) -> Tensor:
        if self._matrices:
            return torch.einsum("r...nm,...nkm->r...nk", rows, slopes)
        return fit(rows * slopes, self.inputs[0].shape)

    def _over_second(self, rows: Tensor, slopes: Tensor) -> Tensor:
        if self._matrices:
            return torch.einsum("r...nm,...nkm->r...km", rows, slopes)
        return fit(rows * slopes, self.inputs[1].shape)


def plane_below(x: Interval, y: Interval) -> Plane:
    """A plane below x y: c_x c_y - r_x r_y in the middle of the box, with slopes c_y - b r_y and c_x - b r_x.

    It is sound for every b in [-1, 1], which mixes McCormick's two planes. b is the mean of c_x / r_x and c_y / r_y,
    cut: it leaves the smallest slopes in units of the box, and the plane's least value is that of the product.

    Source: McCormick, Computability of global solutions to factorable nonconvex programs: Part I (1976).
    """
    volume = 2 * x.radius * y.radius
    lean = x.centre * y.radius + y.centre * x.radius
    inside = (lean.abs() < volume) & (volume > torch.finfo(volume.dtype).tiny ** 0.5)
    mix = torch.where(inside, lean / torch.where(inside, volume, 1.0), lean.sign())
    first, second = y.centre - mix * y.radius, x.centre - mix * x.radius
    middle = x.centre * y.centre - x.radius * y.radius
    return Plane(first, second, middle - first * x.centre - second * y.centre)
