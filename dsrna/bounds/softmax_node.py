"""Softmax in a backward substitution."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.bounds.convex_function import EXP
from dsrna.bounds.interval import Interval
from dsrna.bounds.softmax import differences
from dsrna.bounds.substitution import Node, Substituted, dot

_LARGEST_DIFFERENCE = 40.0
"""Between inputs that planes are made of; beyond, an output is all but 0 or 1 somewhere, and constants are as good."""


class SoftmaxNode(Node):
    """Softmax over the last dimension between planes: p_i = 1 / q_i with q_i = 1 + the sum of exp(x_j - x_i), j != i.

    The exponentials lie above their tangents in the middle and below their chords, which add up to planes around q_i;
    1 / q lies above its tangent at the upper plane's middle, and below its chord between the ends of p_i.

    Args:
        source: node of x.
        interval: of x (N, ..., n).
        result: of p.

    Source: the form 1 / sum exp(x_j - x_i) is that of Wei et al., Convex Bounds on the Softmax Function with
    Applications to Robustness Verification (AISTATS 2023), section 3; our planes are linear in x.
    """

    def __init__(self, source: Node, interval: Interval, result: Interval) -> None:
        super().__init__(source.shape, (source,))
        low, high = (pairs.clamp(max=_LARGEST_DIFFERENCE) for pairs in differences(interval))
        others = 1 - torch.eye(low.shape[-1], dtype=low.dtype, device=low.device)
        tangent, floor, chord, ceiling = (others * part for part in EXP.enclosure(low, high))
        known = (differences(interval)[1] <= _LARGEST_DIFFERENCE).all(dim=-1)
        least, most = result.lower, result.upper
        centre = interval.centre
        middle = 1 + ceiling.sum(-1) + (chord * (centre.unsqueeze(-2) - centre.unsqueeze(-1))).sum(-1)
        steep = torch.where(known, middle.reciprocal().square(), 0.0)
        flat = torch.where(known, least * most, 0.0)
        self._below, self._above = _plane(chord, steep), _plane(tangent, flat)
        self._floor = torch.where(known, 2 / middle - steep * (1 + ceiling.sum(-1)), least)
        self._ceiling = torch.where(known, least + most - flat * (1 + floor.sum(-1)), most)

    def substitute(self, rows: Tensor) -> Substituted:
        positive, negative = rows.clamp(min=0), rows.clamp(max=0)
        substituted = _pulled(positive, self._below) + _pulled(negative, self._above)
        return Substituted((substituted,), dot(positive, self._floor) + dot(negative, self._ceiling))


def _plane(slopes: Tensor, factor: Tensor) -> Tensor:
    """- factor_i * the sum over j of slopes_ij (x_j - x_i), as coefficients of x."""
    scaled = factor.unsqueeze(-1) * slopes
    return torch.diag_embed(scaled.sum(-1)) - scaled


def _pulled(rows: Tensor, plane: Tensor) -> Tensor:
    return torch.einsum("...i,...ij->...j", rows, plane)
