"""Value types that several rooms share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from dsrna.errors import ConfigError

if TYPE_CHECKING:  # the commands that compute nothing do without torch
    from torch import Tensor

Norm = Literal["linf", "l2", "l1"]


class CellWeights(NamedTuple):
    """Weights of one cell type after relaxation.

    Attributes:
        operations: (E, O) non-negative operation weights, a row an edge, a column a primitive of the space.
        edges: (E,) non-negative edge weights (PC-DARTS's edge normalisation), or None where every edge counts once.
    """

    operations: Tensor
    edges: Tensor | None = None


OperationWeights = dict[str, CellWeights]
"""Cell type -> its weights, e.g. ``{"normal": …, "reduce": …}``."""


@dataclass(frozen=True)
class Threat:
    """A threat model: the ball around an image in which an adversary moves, cut with [0, 1].

    Attributes:
        norm: ``"linf"``, ``"l2"``, or, for evaluation alone, ``"l1"``.
        eps: radius in [0, 1] pixel units for l_inf (8/255, not 8); for l_2 a Euclidean length, for l_1 a sum of
            absolute values, >= 0.

    >>> Threat("linf", 8 / 255).label
    'linf 8/255'
    >>> Threat("linf", 8)
    Traceback (most recent call last):
    dsrna.errors.ConfigError: Expected `eps` in [0, 1] for l_inf, got 8; did you mean 8/255?
    """

    norm: Norm
    eps: float

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise ConfigError(f"Expected `norm` to be one of {', '.join(get_args(Norm))}, got {self.norm!r}.")
        if not self.eps >= 0:
            raise ConfigError(f"Expected `eps` >= 0, got {self.eps}.")
        if self.norm == "linf" and self.eps > 1:
            raise ConfigError(f"Expected `eps` in [0, 1] for l_inf, got {self.eps:g}; did you mean {self.eps:g}/255?")

    @property
    def label(self) -> str:
        """Short text for tables, in 1/255 where that is a whole number."""
        scaled = self.eps * 255
        if self.norm == "linf" and abs(scaled - round(scaled)) < 1e-6:
            return f"{self.norm} {round(scaled)}/255"
        return f"{self.norm} {self.eps:.4g}"
