"""What keeps intervals narrow and ReLUs decided while the radius is still small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dsrna.bounds.interval import Interval

TOLERANCE = 0.5
"""Ratios from here on cost nothing; as in the paper."""


class IntervalRegulariser:
    """Sees the intervals that one pass of interval bound propagation brings to a network's ReLUs.

    The mean over all ReLUs of [t - w_0 / w]_+ / t, w their intervals' mean width and w_0 that of the first layer's
    input, and of [t - m]_+ / t + [t - v]_+ / t, where m and v say how far values that are surely active and values that
    surely are not weigh the same, in their mean and in their variance: the smaller of a ratio and its inverse. t = 0.5.

    Args:
        model: network whose ReLUs are modules; functional ones are not seen.

    Source: Shi et al., Fast Certified Robust Training with Short Warmup (NeurIPS 2021), and their released code, which
    has the ratios. Here a ReLU without active or without inactive values adds no balance, as there.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._first: Tensor | None = None
        self._terms: list[Tensor] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, the network's passes on intervals are seen."""
        handles = [
            module.register_forward_pre_hook(self._see)
            for module in self._model.modules()
            if isinstance(module, nn.ReLU | nn.Conv2d | nn.Linear)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def value(self) -> Tensor | None:
        """The term, a differentiable scalar >= 0; None if no ReLU was seen."""
        return torch.stack(self._terms).mean() if self._terms else None

    def _see(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        interval = inputs[0]
        if not isinstance(interval, Interval):
            return
        if self._first is None:
            self._first = interval.radius.mean()
        if isinstance(module, nn.ReLU):
            self._terms.append(_tightness(self._first, interval) + _balance(interval))


def _tightness(first: Tensor, interval: Interval) -> Tensor:
    return _missing(first / interval.radius.mean().clamp(min=1e-12))


def _balance(interval: Interval) -> Tensor:
    active, inactive = (interval.lower > 0).detach(), (interval.upper < 0).detach()
    if not bool(active.any()) or not bool(inactive.any()):
        return interval.centre.new_zeros(())
    deviations = (interval.centre - interval.centre.mean()).square()
    means = ((interval.centre * side).sum().abs() for side in (active, inactive))
    variances = ((deviations * side).sum() for side in (active, inactive))
    return _missing(_evenness(*means)) + _missing(_evenness(*variances))


def _evenness(a: Tensor, b: Tensor) -> Tensor:
    """The smaller of two positive numbers over the larger."""
    return torch.minimum(a, b) / torch.maximum(a, b).clamp(min=1e-12)


def _missing(ratio: Tensor) -> Tensor:
    return (TOLERANCE - ratio).relu() / TOLERANCE
