"""Roots by bisection, many at once."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def bisect_in_log(holds: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Where a condition that holds for small values stops to hold, by bisection of the logarithm.

    Every step replaces low or high by sqrt(low * high), entry by entry, so that log(high / low) halves. Where the
    condition holds up to ``high``, or not even at ``low``, the result closes in on that end.

    Args:
        holds: values -> bool of the same shape, each entry of its own; a condition on NaN counts as not holding.
        low: of any shape, > 0.
        high: of the same shape, >= ``low``.
        steps: >= 0.

    Returns:
        (low, high), the last bracket.

    >>> import torch
    >>> low, high = bisect_in_log(lambda v: v <= 2.0, torch.tensor([0.01]), torch.tensor([100.0]), 20)
    >>> round(low.item(), 3), round(high.item(), 3)
    (2.0, 2.0)
    """
    for _ in range(steps):
        middle = low.sqrt() * high.sqrt()  # low * high may leave the range of single precision
        good = holds(middle)
        low, high = middle.where(good, low), high.where(good, middle)
    return low, high
