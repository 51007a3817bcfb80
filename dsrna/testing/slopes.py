"""Gradients against finite differences, for all conformance suites."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

STEP = 1e-7
"""In the parameters, along a direction of standard normal numbers; in double precision."""


def check_slope(
    gradients: Sequence[Tensor],
    parameters: Sequence[nn.Parameter],
    value: Callable[[], Tensor],
    *,
    what: str,
    tolerance: float,
) -> None:
    """Checks gradients along a random direction in all parameters, by central differences.

    Args:
        gradients: one of each parameter.
        parameters: in double precision; as before afterwards, up to rounding.
        value: what was differentiated, a scalar, for the parameters as they are.
        what: the gradient's name in messages, as "the gradient to the alphas".
        tolerance: relative to the gradient's length.

    Raises:
        AssertionError: the slopes differ.
    """
    draw = torch.Generator().manual_seed(3)
    along = [torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype) for parameter in parameters]
    slope = sum(float((gradient * direction).sum()) for gradient, direction in zip(gradients, along, strict=True))
    length = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
    values = []
    for move in (STEP, -2 * STEP, STEP):
        with torch.no_grad():
            for parameter, direction in zip(parameters, along, strict=True):
                parameter.add_(direction, alpha=move)
        values.append(value().item())
    expected = (values[0] - values[1]) / (2 * STEP)
    assert abs(slope - expected) <= tolerance * length, (
        f"{what} is not that of the value: a slope of {slope:.6g}, by finite differences {expected:.6g}"
        + (f", {slope / expected:.4g} times" if expected else "")
    )
