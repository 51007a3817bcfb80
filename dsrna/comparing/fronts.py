"""Who isn't beaten in everything at once: robust and clean accuracy, and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsrna.query_searches.pareto import hypervolume, non_dominated


@dataclass(frozen=True)
class Point:
    """A row in the space of the three.

    Attributes:
        robust, clean: accuracies in [0, 1].
        multiply_adds: of one image.
    """

    robust: float
    clean: float
    multiply_adds: float


@dataclass(frozen=True)
class Front:
    """The Pareto front of rows.

    Attributes:
        members: whether each row is on it: none other is nowhere worse and somewhere better.
        volume: what the rows dominate together, in accuracy times accuracy times factors of ten in multiply-adds, above
            accuracies of 0 and ten times the multiply-adds of the largest network.
        shares: how much smaller the volume would be without each row.
    """

    members: list[bool]
    volume: float
    shares: list[float]


def front(points: Sequence[Point]) -> Front:
    """The front of at least one point."""
    values = np.array([(point.robust, point.clean, -np.log10(point.multiply_adds)) for point in points])
    corner = np.array([0.0, 0.0, values[:, 2].min() - 1])
    volume = hypervolume(values, corner)
    shares = [volume - hypervolume(np.delete(values, place, axis=0), corner) for place in range(len(points))]
    return Front(non_dominated(values).tolist(), volume, [max(0.0, share) for share in shares])
