"""Margins between the logit of the true class and the others."""

from __future__ import annotations

import torch
from torch import Tensor


def all_margins(logits: Tensor, y: Tensor) -> Tensor:
    """Margins f_y - f_j to every other class j, in ascending order of j.

    Differentiable in ``logits``; no forward or backward pass of a network.

    Args:
        logits: (N, K) with K >= 2.
        y: (N,) true classes in 0..K-1.

    Returns:
        (N, K-1); all positive exactly where the image is classified as ``y`` without a tie.

    >>> all_margins(torch.tensor([[3.0, 1.0, 4.0]]), torch.tensor([1]))
    tensor([[-2., -3.]])
    """
    others = torch.arange(logits.shape[1] - 1, device=logits.device).expand(len(y), -1)
    others = others + (others >= y[:, None]).long()
    return logits.gather(1, y[:, None]) - logits.gather(1, others)


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Margin f_y - max_{j != y} f_j: positive where the image is classified as ``y``.

    Differentiable in ``logits`` (where two classes tie for the maximum, a subgradient).

    Args:
        logits: (N, K) with K >= 2.
        y: (N,) true classes in 0..K-1.

    Returns:
        (N,) margins, in logit units.

    >>> margin(torch.tensor([[3.0, 1.0, 4.0]]), torch.tensor([1]))
    tensor([-3.])
    """
    return all_margins(logits, y).amin(dim=1)
