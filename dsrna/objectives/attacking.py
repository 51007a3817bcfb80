"""What training on attacked images shares: the ball, and how its radius grows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from dsrna.bounds.eps_schedule import EpsSchedule, Shape
from dsrna.errors import ConfigError
from dsrna.objectives.base import Objective
from dsrna.types import Threat


@dataclass(kw_only=True, eq=False)
class Attacking(Objective):
    """A loss on images that were moved within a ball, whose radius may grow while training goes on.

    The radius is ``eps_start`` up to ``ramp_begin``, grows, and is the threat's from ``ramp_end`` on. Before the first
    :meth:`advance` it is the threat's.

    Args:
        threat: the ball in the end.
        label_smoothing: see :class:`dsrna.objectives.Objective`.
        auxiliary_weight: see :class:`dsrna.objectives.Objective`.
        eps_start: radius up to ``ramp_begin``, in [0, 1] pixel units, at most the threat's.
        ramp_begin: progress of the training in [0, 1] at which the radius starts to grow.
        ramp_end: progress at which it has arrived, in [ramp_begin, 1]; 0: there is no ramp.
        ramp_shape: ``"linear"`` or ``"smooth"``.

    Attributes:
        radius: of the ball now.

    Raises:
        ConfigError: a value is out of range.
    """

    threat: Threat = field(kw_only=False)
    label_smoothing: float = 0.0
    auxiliary_weight: float = 0.4
    eps_start: float = 0.0
    ramp_begin: float = 0.0
    ramp_end: float = 0.0
    ramp_shape: Shape = "linear"

    def __post_init__(self) -> None:
        super().__init__(self.label_smoothing, self.auxiliary_weight)
        if not 0 <= self.eps_start <= self.threat.eps:
            raise ConfigError(
                f"Expected `eps_start` from 0 to the threat's eps, {self.threat.eps:g}, got {self.eps_start:g}. "
                "(conf: eps_start)"
            )
        if self.ramp_end == 0 and self.eps_start > 0:
            raise ConfigError(
                f"`eps_start: {self.eps_start:g}` begins a ramp that has no end: set `ramp_end`, the share of the "
                "training at which the radius has arrived, or leave it at 0. (conf: ramp_end)"
            )
        self.radius = self.threat.eps
        self.eps = ramp(self.eps_start, self.threat.eps, self.ramp_begin, self.ramp_end, self.ramp_shape)

    def advance(self, progress: float) -> None:
        """See :meth:`dsrna.objectives.Objective.advance`."""
        self.radius = self.eps.at(progress)

    def in_proportion(self, step_size: float | None) -> float | None:
        """The length of a step in the present ball that has a given length in the threat's; None without either."""
        if step_size is None or (self.radius == 0 < self.threat.eps):
            return None
        return step_size if self.radius == self.threat.eps else step_size * self.radius / self.threat.eps

    @property
    def numbers(self) -> Mapping[str, float | Tensor]:
        """The radius, where there is a ramp."""
        return {"eps": self.radius} if self.eps.stop > 0 else {}


def ramp(start: float, end: float, ramp_begin: float, ramp_end: float, ramp_shape: Shape = "linear") -> EpsSchedule:
    """A schedule from settings of these names.

    Raises:
        ConfigError: a value is out of range.
    """
    if not 0 <= ramp_begin <= ramp_end <= 1:
        raise ConfigError(
            f"Expected 0 <= `ramp_begin` <= `ramp_end` <= 1, got {ramp_begin:g} and {ramp_end:g}. (conf: ramp_begin)"
        )
    return EpsSchedule(start, end, ramp_begin, ramp_end, ramp_shape)
