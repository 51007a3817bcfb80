"""What rounding can change."""

from __future__ import annotations

import torch


def unit_roundoff(precision: torch.dtype) -> float:
    """u: the largest relative error of one rounded operation."""
    return torch.finfo(precision).eps / 2


def accumulated(operations: int, unit: float) -> float:
    """gamma_n = n u / (1 - n u): of a sum of products with n roundings, over the sum of their magnitudes.

    Whatever the order of the sum, with fused multiplications too. Higham, Accuracy and Stability of Numerical
    Algorithms (2nd ed., 2002), section 3.1.
    """
    share = operations * unit
    return share / (1 - share) if share < 1 else float("inf")
