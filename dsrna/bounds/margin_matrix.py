"""Margins as a linear map of the logits."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.functional.margins import all_margins


def margin_matrix(y: Tensor, classes: int, like: Tensor) -> Tensor:
    """C with C_n f = f_y - f_j for every wrong class j, in the order of :func:`dsrna.functional.margins.all_margins`.

    Args:
        y: (N,) true classes.
        classes: K.
        like: gives dtype and device.

    Returns:
        (N, K - 1, K), of -1, 0 and 1.

    >>> margin_matrix(torch.tensor([1]), 3, torch.zeros(()))
    tensor([[[-1.,  1.,  0.],
             [ 0.,  1., -1.]]])
    """
    identity = torch.eye(classes, dtype=like.dtype, device=like.device).repeat(len(y), 1)
    return all_margins(identity, y.repeat_interleave(classes)).view(len(y), classes, -1).transpose(1, 2)
