"""A weighted sum of metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypedDict

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.metrics.base import RobustnessMetric


class WeightedMetric(TypedDict):
    """A metric and its weight, >= 0; 0 leaves it out."""

    weight: float
    metric: RobustnessMetric


class Weighted(RobustnessMetric):
    """R(x, y) = sum_i weight_i * R_i(x, y), each part in units of its own; a part may be such a sum again.

    Differentiable in what the parts are. Cost and memory: those of all parts.

    Args:
        parts: name -> metric and weight, or None to leave it out. Its numbers are named after it, ``NAME_NUMBER``, and
            its mean score at the last call, without its weight, is ``score_NAME``.

    Raises:
        ConfigError: a weight is out of range, none is above 0, or the parts don't share one ``batch_norm``.
    """

    def __init__(self, parts: Mapping[str, WeightedMetric | None]) -> None:
        given = {name: part for name, part in parts.items() if part is not None}
        for name, part in given.items():
            if not 0 <= part["weight"] < math.inf:
                raise ConfigError(f"Expected a weight of 0 or more, got {part['weight']}. (conf: parts.{name}.weight)")
        self._parts = {name: part for name, part in given.items() if part["weight"] > 0}
        metrics = {name: part["metric"] for name, part in self._parts.items()}
        modes = {name: metric.batch_norm for name, metric in metrics.items()}
        if not modes:
            raise ConfigError("Expected a weight above 0, found none: use `metric: none` instead. (conf: parts)")
        if len(set(modes.values())) > 1:
            raise ConfigError(f"Expected one `batch_norm` of all parts, got {modes}. (conf: parts)")
        super().__init__(next(iter(modes.values())))
        self.rewards_ignoring_the_input = any(metric.rewards_ignoring_the_input for metric in metrics.values())
        self.scale_free = all(metric.scale_free for metric in metrics.values())
        self.looks_at_images = any(metric.looks_at_images for metric in metrics.values())
        self._means: dict[str, float] = {}

    @property
    def numbers(self) -> dict[str, float]:
        """The parts' numbers, and their mean scores at the last call."""
        of_parts = {
            self.named(name, key): value
            for name, part in self._parts.items()
            for key, value in part["metric"].numbers.items()
        }
        return of_parts | self._means

    def named(self, part: str, number: str) -> str:
        """What a part's number is called in this metric's."""
        return f"{part}_{number}"

    def restore(self, numbers: dict[str, float]) -> None:
        """See :meth:`RobustnessMetric.restore`."""
        for name, part in self._parts.items():
            prefix = self.named(name, "")
            own = {key.removeprefix(prefix): value for key, value in numbers.items() if key.startswith(prefix)}
            part["metric"].restore(own)

    def advance(self, progress: float) -> None:
        """See :meth:`RobustnessMetric.advance`."""
        for part in self._parts.values():
            part["metric"].advance(progress)

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """See the class."""
        total = x.new_zeros(len(x))
        for name, part in self._parts.items():
            scores = part["metric"].score(model, x, y, generator)
            self._means[f"score_{name}"] = scores.detach().mean().item()
            total = total + part["weight"] * scores
        return total
