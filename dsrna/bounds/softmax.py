"""Intervals of softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dsrna.bounds.interval import Interval


def softmax(interval: Interval) -> Interval:
    """Softmax over the last dimension, exact for each entry by itself.

    Where the box is narrow, |p_i - p_i(centre)| <= p_i (1 - p_i) r_i + sum of p_i p_j r_j, with the ends of all p.
    """
    least, most = (end.exp() for end in log_softmax_ends(interval))
    others = most.unsqueeze(-2) * (1 - torch.eye(interval.shape[-1], dtype=interval.dtype, device=interval.device))
    reach = (1 - least) * interval.radius + (others * interval.radius.unsqueeze(-2)).sum(-1)
    return interval._between(
        least,
        most,
        interval.centre.softmax(-1),
        most * reach,
        operations=interval.shape[-1] + 16,
        size=lambda: most * (1 + 2 * interval.magnitude.amax(-1, keepdim=True)),
    )


def log_softmax_ends(interval: Interval) -> tuple[Tensor, Tensor]:
    """The least and largest log p_i = - log(sum of exp(x_j - x_i)) in the box, (N, ..., n) each."""
    same = torch.eye(interval.shape[-1], dtype=torch.bool, device=interval.device)
    ends = interval.lower, interval.upper
    differences = (ends[1 - end].unsqueeze(-2) - ends[end].unsqueeze(-1) for end in (0, 1))
    least, most = (-pairs.masked_fill(same, 0.0).logsumexp(dim=-1) for pairs in differences)
    return least, most
