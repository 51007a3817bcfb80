"""How a radius grows while something is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from dsrna.errors import ConfigError

Shape = Literal["linear", "smooth"]


@dataclass(frozen=True)
class EpsSchedule:
    """A value that stays at ``start``, then moves to ``end``, then stays there, as a function of progress.

    For radii and for weights of losses alike.

    Args:
        start: value up to ``begin``, finite, >= 0.
        end: value from ``stop`` on, finite, >= 0.
        begin: progress at which it starts to move, in [0, 1].
        stop: progress at which it has arrived, in [begin, 1].
        shape: ``"linear"``, or ``"smooth"`` (half a cosine: slow at both ends).

    Raises:
        ConfigError: a value is out of range.

    >>> schedule = EpsSchedule(0.0, 0.1, begin=0.2, stop=0.6)
    >>> [round(schedule.at(progress), 3) for progress in (0.0, 0.2, 0.4, 0.6, 1.0)]
    [0.0, 0.0, 0.05, 0.1, 0.1]
    """

    start: float
    end: float
    begin: float = 0.0
    stop: float = 1.0
    shape: Shape = "linear"

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigError(f"Expected `{name}` to be finite and >= 0, got {value!r}. (conf: {name})")
        if not 0 <= self.begin <= self.stop <= 1:
            raise ConfigError(
                f"Expected 0 <= `begin` <= `stop` <= 1, got {self.begin:g} and {self.stop:g}. (conf: begin, stop)"
            )
        if self.shape not in get_args(Shape):
            raise ConfigError(
                f"Expected `shape` to be one of {', '.join(get_args(Shape))}, got {self.shape!r}. (conf: shape)"
            )

    def at(self, progress: float) -> float:
        """The value at a progress in [0, 1]: the share of the steps that lie behind."""
        if progress >= self.stop:
            return self.end
        if progress <= self.begin:
            return self.start
        share = (progress - self.begin) / (self.stop - self.begin)
        if self.shape == "smooth":
            share = (1 - math.cos(math.pi * share)) / 2
        return self.start + (self.end - self.start) * share
