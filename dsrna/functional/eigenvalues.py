"""Eigenvalues of matrices that may not be finite."""

from __future__ import annotations

import torch
from torch import Tensor


def eigenvalues(symmetric: Tensor) -> Tensor:
    """(..., n) ascending eigenvalues of symmetric matrices (..., n, n); all NaN where one entry isn't finite.

    LAPACK's own answer to NaN is an error that says nothing of it.
    """
    if not symmetric.isfinite().all():
        return torch.full_like(symmetric[..., 0], torch.nan)
    return torch.linalg.eigvalsh(symmetric)
