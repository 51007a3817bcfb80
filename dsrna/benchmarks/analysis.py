"""What the tables say about architectures: how rankings agree, and which operations, where, go with robustness.

Everything here works on columns of :meth:`~dsrna.benchmarks.tabular_benchmark.TabularBenchmark.of_classes`: (6466,)
numbers, one an isomorphism class. A class is described by the operations of its representative, the architecture that
was trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from dsrna.benchmarks.classes import representatives
from dsrna.errors import ConfigError
from dsrna.spaces.nasbench201.architecture_string import operations_of
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.topology import EDGES, NODES, PRIMITIVES

_CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")


@dataclass(frozen=True)
class Spread:
    """Values of all classes with the same parameter count, which the numbers of convolutions fix.

    Attributes:
        convolutions_1x1, convolutions_3x3: how many of each a cell has.
        classes: how many classes there are.
        smallest, largest: of their values.
    """

    convolutions_1x1: int
    convolutions_3x3: int
    classes: int
    smallest: float
    largest: float


def rank_correlations(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Spearman's rank correlation of every pair of columns, with average ranks for ties.

    Args:
        columns: n arrays of one length; entries where any is NaN are left out.

    Returns:
        (n, n) in [-1, 1], symmetric; NaN where a column is constant.

    Raises:
        ConfigError: there are fewer than two entries to rank.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.atleast_2d(np.corrcoef([_ranks(column) for column in _complete(columns)]))


def kendall_correlations(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Kendall's tau-b of every pair of columns; arguments, result and errors as of :func:`rank_correlations`.

    Costs O(m log m) a pair for m entries, about a millisecond for a whole table's.
    """
    from scipy.stats import kendalltau

    complete = _complete(columns)
    found = np.eye(len(complete))
    varies = np.ptp(complete, axis=1) > 0
    for i, j in zip(*np.triu_indices(len(complete)), strict=True):
        defined = varies[i] and varies[j]
        found[i, j] = found[j, i] = kendalltau(complete[i], complete[j]).statistic if defined else np.nan
    return found


def spreads_at_equal_parameters(values: np.ndarray, among: np.ndarray | None = None) -> list[Spread]:
    """How far values lie apart among networks of the same parameter count.

    Args:
        values: (6466,) numbers; NaN is left out.
        among: (6466,) bool, which classes count, e.g. those that learnt anything; None for all.

    Returns:
        One entry for each pair of counts that occurs, by ascending counts of 3 x 3, then of 1 x 1 convolutions.

    Source: Jung et al., ICLR 2023, with the mean over all attacks and eps as values.
    """
    counted = np.isfinite(values) if among is None else np.isfinite(values) & among
    ones, threes = (operation_counts()[:, PRIMITIVES.index(name)] for name in _CONVOLUTIONS)
    found = []
    for three in range(len(EDGES) + 1):
        for one in range(len(EDGES) + 1 - three):
            chosen = values[counted & (ones == one) & (threes == three)]
            if len(chosen):
                found.append(Spread(one, three, len(chosen), float(chosen.min()), float(chosen.max())))
    return found


def means_by_operation_count(values: np.ndarray) -> np.ndarray:
    """(5, 7): the mean value of classes with n = 0 … 6 of each operation; NaN where there is none.

    NaNs among the values are left out. Rows are in the order of :data:`~dsrna.spaces.nasbench201.topology.PRIMITIVES`.
    """
    counts = operation_counts()
    return np.array(
        [
            [_mean(values[counts[:, operation] == count]) for count in range(len(EDGES) + 1)]
            for operation in range(len(PRIMITIVES))
        ]
    )


def means_by_position(values: np.ndarray) -> np.ndarray:
    """(6, 5): the mean value of classes with each operation on each edge.

    Rows are in the order of :data:`~dsrna.spaces.nasbench201.topology.EDGES`, columns in that of PRIMITIVES.
    """
    placed = _operations()
    return np.array(
        [
            [_mean(values[placed[:, edge] == operation]) for operation in range(len(PRIMITIVES))]
            for edge in range(len(EDGES))
        ]
    )


def means_by_depth(values: np.ndarray) -> np.ndarray:
    """(7, 4): the mean value of classes with n = 0 … 6 3 x 3 convolutions, at most k = 0 … 3 of them in a row."""
    counts, depths = operation_counts()[:, PRIMITIVES.index(_CONVOLUTIONS[1])], convolution_depths()
    return np.array(
        [
            [_mean(values[(counts == count) & (depths == depth)]) for depth in range(NODES + 1)]
            for count in range(len(EDGES) + 1)
        ]
    )


@cache
def convolution_depths() -> np.ndarray:
    """(6466,): the largest number of 3 x 3 convolutions on a path from each class's input to its output; 0 without."""
    return np.array([_depth(operations_of(string_at(int(index)))) for index in representatives()])


def operation_counts() -> np.ndarray:
    """(6466, 5): how often each operation stands in the representative of each class."""
    return (_operations()[:, :, None] == np.arange(len(PRIMITIVES))).sum(axis=1)


@cache
def _operations() -> np.ndarray:
    """(6466, 6): the position in PRIMITIVES of the operation on each edge."""
    names = [operations_of(string_at(int(index))) for index in representatives()]
    return np.array([[PRIMITIVES.index(name) for name in row] for row in names])


def _complete(columns: Sequence[np.ndarray]) -> np.ndarray:
    stacked = np.stack([np.asarray(column, dtype=np.float64) for column in columns])
    complete = stacked[:, np.isfinite(stacked).all(axis=0)]
    if complete.shape[1] < 2:
        raise ConfigError(f"Expected at least two architectures with a value in every column, got {complete.shape[1]}.")
    return complete


def _ranks(column: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(column, return_inverse=True, return_counts=True)
    last = count.cumsum()
    return (last - (count - 1) / 2)[place]


def _depth(operations: Sequence[str]) -> int:
    deepest = {0: 0}
    for name, (source, target) in zip(operations, EDGES, strict=True):  # edges in the order of their targets
        if name != "none" and source in deepest:
            deepest[target] = max(deepest.get(target, 0), deepest[source] + (name == _CONVOLUTIONS[1]))
    return deepest.get(NODES, 0)


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
