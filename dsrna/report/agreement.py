"""Whether searches that differ in their seeds alone derive the same cell, beyond what random cells would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsrna.report.movement import choices, derived_operations

_SIMULATED = 2000


@dataclass(frozen=True)
class SearchedCell:
    """What a search derived, and among what it could choose.

    Attributes:
        operations: operations that a derived cell may have.
        edges: cell type -> (source, target) of its edges.
        derived: (cell type, source, target) -> the operation of each edge that the cell has.
    """

    operations: tuple[str, ...]
    edges: dict[str, list[tuple[int, int]]]
    derived: dict[tuple[str, int, int], str]

    @classmethod
    def of(cls, architecture: dict[str, Any], genotype: dict[str, Any]) -> SearchedCell:
        """From ``search/architecture.json`` and ``genotype.json``."""
        edges = {cell: [(s, t) for s, t in found["edges"]] for cell, found in architecture["cells"].items()}
        derived = {
            (cell, source, target): name
            for cell, of_cell in edges.items()
            for (source, target), name in derived_operations(genotype, cell, of_cell).items()
        }
        return cls(tuple(choices(architecture)), edges, derived)


@dataclass(frozen=True)
class Agreement:
    """How far several searches agree, edge by edge; an edge that a cell doesn't have is a choice too.

    Attributes:
        cells: how many searches.
        different: how many different cells they derived.
        observed: share of the pairs of searches that agree on an edge, mean over all edges.
        expected: the same of random cells.
        kappa: (observed - expected) / (1 - expected): 1 all the same, 0 as random cells, below 0 less.
        limit: the kappa that as many random cells exceed in one case of twenty.

    Chance is a cell that a search without any preference derives, as in Brennan and Prediger's (1981) and Randolph's
    (2005) kappa. Fleiss' kappa takes for chance how often the searches themselves chose each operation, and has no
    value where all derive 3x3 convolutions on all edges, which is perfect agreement.
    """

    cells: int
    different: int
    observed: float
    expected: float
    kappa: float
    limit: float

    @property
    def beyond_chance(self) -> bool:
        """Whether random cells agree so well in less than one case of twenty."""
        return self.kappa > self.limit


def agreement(cells: Sequence[SearchedCell]) -> Agreement | None:
    """The agreement of two searches or more in one space; None where there are fewer, or they are of several spaces."""
    if len(cells) < 2 or any((cell.operations, cell.edges) != (cells[0].operations, cells[0].edges) for cell in cells):
        return None
    first = cells[0]
    places = [(name, source, target) for name, edges in first.edges.items() for source, target in edges]
    kept = Counter((name, target) for name, _, target in first.derived)
    observed = _agreeing([[cell.derived.get(place) for place in places] for cell in cells])
    random = _of_random_cells(first, kept, len(cells))
    expected = _expected(first, kept)
    scale = 1 - expected
    if scale <= 0:
        return None
    return Agreement(
        cells=len(cells),
        different=len({tuple(sorted(cell.derived.items())) for cell in cells}),
        observed=observed,
        expected=expected,
        kappa=(observed - expected) / scale,
        limit=(float(np.quantile(random, 0.95, method="higher")) - expected) / scale,
    )


def _agreeing(rows: Sequence[Sequence[Hashable]]) -> float:
    """Mean over columns of the share of pairs of rows that are equal there."""
    pairs = len(rows) * (len(rows) - 1)
    columns = list(zip(*rows, strict=True))
    return sum(sum(n * (n - 1) for n in Counter(column).values()) / pairs for column in columns) / len(columns)


def _expected(cell: SearchedCell, kept: Counter[tuple[str, int]]) -> float:
    """Probability that two random cells agree on an edge, mean over edges."""
    found = []
    for name, edges in cell.edges.items():
        entering = Counter(target for _, target in edges)
        for _, target in edges:
            share = kept[name, target] / entering[target]
            found.append((1 - share) ** 2 + share**2 / len(cell.operations))
    return sum(found) / len(found)


def _of_random_cells(cell: SearchedCell, kept: Counter[tuple[str, int]], count: int) -> np.ndarray:
    """(simulations,): how far as many random cells agree."""
    draw, parts = np.random.default_rng(0), []
    for name, edges in cell.edges.items():
        for node in dict.fromkeys(target for _, target in edges):
            shape = (_SIMULATED, count, sum(target == node for _, target in edges))
            places = draw.random(shape).argsort(axis=2).argsort(axis=2)
            parts.append(np.where(places < kept[name, node], draw.integers(len(cell.operations), size=shape), -1))
    chosen = np.concatenate(parts, axis=2)
    pairs = [(one, other) for one in range(count) for other in range(one)]
    return np.mean([(chosen[:, one] == chosen[:, other]).mean(axis=1) for one, other in pairs], axis=0)
