"""Comparing architectures by several objectives, all of them higher = better."""

from __future__ import annotations

import numpy as np


def non_dominated_fronts(values: np.ndarray) -> np.ndarray:
    """(N,) int: 0 for points that none dominates, 1 for those that only points of front 0 dominate, and so on.

    A point dominates another if it is nowhere worse and somewhere better; equal points are in one front.

    Args:
        values: (N, M) objectives.
    """
    dominates = _dominates(values)
    fronts = np.full(len(values), -1)
    front = 0
    while (left := fronts < 0).any():
        fronts[left & ~dominates[left].any(axis=0)] = front
        front += 1
    return fronts


def non_dominated(values: np.ndarray) -> np.ndarray:
    """(N,) bool: whether no other point dominates it; equal points don't.

    Args:
        values: (N, M) objectives.
    """
    return np.asarray(~_dominates(values).any(axis=0))


def crowding_distances(values: np.ndarray) -> np.ndarray:
    """(N,) sum over objectives of the gap between a point's two neighbours, as a share of the range; ends: infinity.

    Args:
        values: (N, M) objectives of one front.

    Reference: Deb, Pratap, Agarwal, Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE
    Transactions on Evolutionary Computation 6(2), 2002, section III-B.
    """
    distances = np.zeros(len(values))
    for column in values.T:
        order = column.argsort(kind="stable")
        reach = column[order[-1]] - column[order[0]]
        distances[order[[0, -1]]] = np.inf
        if reach > 0:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / reach
    return distances


def pareto_front(values: np.ndarray) -> np.ndarray:
    """(K, M) the different points that no other dominates, in ascending order.

    Memory grows with the size of the front, not with all points' squared.

    Args:
        values: (N, M) objectives.
    """
    front: list[np.ndarray] = []
    for point in np.unique(values, axis=0)[::-1]:  # a point that dominates comes before those it dominates
        if not front or not (np.array(front) >= point).all(axis=1).any():
            front.append(point)
    return np.array(front[::-1])


def hypervolume(values: np.ndarray, reference: np.ndarray) -> float:
    """Volume of what lies above ``reference`` and below at least one of the points; exact.

    Slices along the last objective; n log n steps for two objectives, times n for each further one.

    Args:
        values: (N, M) objectives, M >= 2; points not above the reference in all of them add nothing.
        reference: (M,) the corner.
    """
    above = values[(values > reference).all(axis=1)] - reference
    return _volume(above[above[:, -1].argsort()[::-1]])


def _volume(points: np.ndarray) -> float:
    """Volume between the origin and points in descending order of their last objective."""
    if not len(points):
        return 0.0
    heights = points[:, -1] - np.append(points[1:, -1], 0.0)
    if points.shape[1] == 2:
        return float(np.maximum.accumulate(points[:, 0]) @ heights)
    flat = points[:, :-1]
    total = 0.0
    for count, height in enumerate(heights, start=1):
        if height > 0:
            slab = flat[:count]
            total += float(height) * _volume(slab[slab[:, -1].argsort()[::-1]])
    return total


def _dominates(values: np.ndarray) -> np.ndarray:
    """(N, N) bool: whether point i dominates point j."""
    no_worse = (values[:, None] >= values[None]).all(axis=-1)
    return np.asarray(no_worse & ~no_worse.T)
