"""What is kept of one search by queries: when it found what."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dsrna.query_searches.base import Genes, Query
from dsrna.query_searches.pareto import hypervolume, non_dominated

_GRID = 60

Measure = Callable[[Sequence[Genes]], np.ndarray]
"""Genes of N architectures -> (N, M) objectives in [0, 1]."""


def grid_of(budget: int) -> list[int]:
    """Numbers of queries at which curves are drawn, closer together at the beginning."""
    return sorted({round(count) for count in np.geomspace(1, budget, _GRID)})


def improvements(queries: Sequence[Query]) -> list[dict[str, Any]]:
    """Every query that was better than all before it: its number from 1, genes, and fitness (null for -inf)."""
    found: list[dict[str, Any]] = []
    best: float | None = None
    for number, query in enumerate(queries, start=1):
        (value,) = query.fitness
        if best is None or value > best:
            best = value
            found.append({"query": number, "fitness": _plain(value), "genes": list(query.genes)})
    return found


def front_of(queries: Sequence[Query]) -> list[dict[str, Any]]:
    """Genes and fitness of the architectures that no other dominates, one for each fitness, by descending fitness."""
    first: dict[tuple[float, ...], Query] = {}
    for query in queries:
        first.setdefault(query.fitness, query)
    different = list(first.values())
    keep = non_dominated(np.array([query.fitness for query in different]))
    front = sorted((query for query, kept in zip(different, keep, strict=True) if kept), key=lambda q: q.fitness)
    return [{"genes": list(query.genes), "fitness": [_plain(v) for v in query.fitness]} for query in reversed(front)]


def hypervolumes(queries: Sequence[Query], measure: Measure, grid: Sequence[int]) -> list[float]:
    """The hypervolume, above 0, of what the search would give back after so many queries: its front so far.

    Args:
        queries: in order.
        measure: in what the volume is measured; it needn't be what guided the search.
        grid: numbers of queries.
    """
    front: list[Query] = []
    found, before = [], 0
    for count in grid:
        candidates = list({query.fitness: query for query in [*queries[before:count], *front]}.values())
        keep = non_dominated(np.array([query.fitness for query in candidates]))
        front = [query for query, kept in zip(candidates, keep, strict=True) if kept]
        values = measure([query.genes for query in front])
        found.append(hypervolume(values, np.zeros(values.shape[1])))
        before = count
    return found


def _plain(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None
