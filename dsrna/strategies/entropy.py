"""How undecided operation weights are."""

from __future__ import annotations

import torch
from torch import Tensor


def operation_entropy(operations: Tensor) -> Tensor:
    """Entropy -sum_o p_o ln p_o of the operations' shares p = w / sum_o w of an edge, averaged over a cell's edges.

    Differentiable, also where a weight is zero.

    Args:
        operations: (E, O) operation weights w >= 0.

    Returns:
        Scalar in nats, from 0 (every edge one-hot) to ln O (every edge uniform).

    >>> operation_entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))  # (ln 2 + 0) / 2
    tensor(0.3466)
    """
    smallest = torch.finfo(operations.dtype).tiny
    shares = operations / operations.sum(dim=1, keepdim=True).clamp(min=smallest)
    return -(shares * shares.clamp(min=smallest).log()).sum(dim=1).mean()
