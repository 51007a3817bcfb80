"""Softmax in a backward substitution."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dsrna.bounds.convex_function import EXP
from dsrna.bounds.interval import Interval
from dsrna.bounds.softmax import log_softmax_ends
from dsrna.bounds.substitution import Node, Substituted, dot


class SoftmaxNode(Node):
    """Softmax over the last dimension between planes: p_i = exp(g_i), with g_i = x_i - log(sum of exp(x_j)).

    g_i is concave, so it lies below its tangent plane at the box's centre, where exp is replaced by its chord between
    the exact ends of g_i. Below, g_i is x_i less a plane above the logarithm of the sum, and exp its tangent; or p_i is
    its least value, where that is more in the middle of the box.

    Args:
        source: node of x.
        interval: of x (N, ..., n).
        result: of p.

    Source: that p_i is bounded through its concave logarithm is from Wei et al., Convex Bounds on the Softmax Function
    with Applications to Robustness Verification (AISTATS 2023), section 4; our planes are linear in x.
    """

    def __init__(self, source: Node, interval: Interval, result: Interval) -> None:
        super().__init__(source.shape, (source,))
        centre = interval.centre
        precision = 8 * torch.finfo(centre.dtype).eps
        size = precision * (centre.shape[-1] + interval.magnitude.amax(-1, keepdim=True))
        lines = EXP.enclosure(*log_softmax_ends(interval))
        weights = centre.softmax(-1)
        self._above = _through_logarithm(lines.upper, weights)
        self._ceiling = lines.ceiling + lines.upper * (
            _dot(weights, centre) - torch.logsumexp(centre, -1, keepdim=True) + size
        )
        above_sum = plane_above_log_sum_exp(centre, interval.radius)
        middle = (centre - above_sum.middle).exp()
        constant = middle < result.lower
        steep = torch.where(constant, 0.0, middle)
        self._below = _through_logarithm(steep, above_sum.slopes)
        floor = steep * (1 - size - centre + _dot(above_sum.slopes, centre))
        self._floor = torch.where(constant, result.lower, floor)
        with torch.no_grad():
            self._gap_below, self._gap_above = (
                (sign * (weights - _pulled(centre, plane.mT) - shift)).clamp(min=0)
                for sign, plane, shift in ((1, self._below, self._floor), (-1, self._above, self._ceiling))
            )

    def substitute(self, rows: Tensor) -> Substituted:
        common = self._common(rows)
        rest = rows - common
        positive, negative = rest.clamp(min=0), rest.clamp(max=0)
        substituted = _pulled(positive, self._below) + _pulled(negative, self._above)
        constant = dot(positive, self._floor) + dot(negative, self._ceiling) + common.flatten(2).sum(2)
        return Substituted((substituted,), constant)

    def _common(self, rows: Tensor) -> Tensor:
        """(R, N, ..., 1) with rows . p = (rows - common) . p + common, as p adds up to 1.

        The entry of the row that leaves least open in the middle of the box: a weighted median.
        """
        with torch.no_grad():
            order = rows.argsort(-1)
            below, above = (gap.expand_as(rows).gather(-1, order) for gap in (self._gap_below, self._gap_above))
            left, right = above.cumsum(-1), below.flip(-1).cumsum(-1).flip(-1)
            place = order.gather(-1, (left >= right - below).to(torch.int8).argmax(-1, keepdim=True))
        return rows.gather(-1, place)


class PlaneAbove(NamedTuple):
    """log(sum of exp(x_j)) <= middle + sum over j of slopes_j (x_j - c_j), with the box's centre c.

    Attributes:
        slopes: (..., n).
        middle: (..., 1).
    """

    slopes: Tensor
    middle: Tensor


def plane_above_log_sum_exp(centre: Tensor, radius: Tensor) -> PlaneAbove:
    """A plane above log(sum of exp(x_j)) in a box.

    The logarithm of the sum is a x_k + log(sum of exp(z_j)) with z_j = x_j - a x_k, whose exponentials lie below their
    chords exp(c) (cosh(r) + sinh(r) / r (z - c)) and whose logarithm lies below its tangent. Up to the second order in
    r that adds 1/2 sum p_j r_j^2 of z; so best are the k of x's largest p_k r_k and a = p_k - sum p_j r_j / r_k over
    the others, or 0 where that's negative: what one entry rules moves with it.

    Args:
        centre: (..., n).
        radius: (..., n), >= 0.
    """
    parts = centre.softmax(-1) * radius
    largest, place = parts.max(-1, keepdim=True)
    reach = radius.gather(-1, place)
    share = ((2 * largest - parts.sum(-1, keepdim=True)) / torch.where(reach > 0, reach, 1.0)).clamp(0, 1)
    shares = torch.zeros_like(centre).scatter(-1, place, share)
    moved = centre - _dot(shares, centre)
    wide = radius * (1 - 2 * shares) + _dot(shares, radius)
    logarithm = moved + wide + F.softplus(-2 * wide) - math.log(2)  # of exp(moved) cosh(wide)
    narrow = wide < torch.finfo(wide.dtype).eps ** 0.5
    slopes = logarithm.softmax(-1) * torch.where(narrow, 1.0, wide.tanh() / wide.masked_fill(narrow, 1.0))
    middle = _dot(shares, centre) + torch.logsumexp(logarithm, -1, keepdim=True)
    return PlaneAbove(slopes + shares * (1 - slopes.sum(-1, keepdim=True)), middle)


def _dot(weights: Tensor, values: Tensor) -> Tensor:
    return (weights * values).sum(-1, keepdim=True)


def _through_logarithm(factor: Tensor, slopes: Tensor) -> Tensor:
    """The gradient of factor_i * (x_i - sum over j of slopes_j x_j), for each i: (..., n) -> (..., n, n)."""
    return torch.diag_embed(factor) - factor.unsqueeze(-1) * slopes.unsqueeze(-2)


def _pulled(rows: Tensor, plane: Tensor) -> Tensor:
    return torch.einsum("...i,...ij->...j", rows, plane)
