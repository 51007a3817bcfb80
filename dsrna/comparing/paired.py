"""Is one row better than another, and by how much: paired tests, and their correction for being many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from dsrna.comparing.intervals import Estimate


def over_seeds(some: Mapping[int, float], others: Mapping[int, float]) -> Estimate | None:
    """The mean difference over training seeds that both have, as of a paired t-test; None for fewer than two.

    It says how trainings scatter, not how searches do.

    Args:
        some, others: training seed -> value.
    """
    common = sorted(some.keys() & others.keys())
    if len(common) < 2:
        return None
    differences = np.array([some[seed] - others[seed] for seed in common])
    error = float(differences.std(ddof=1) / np.sqrt(len(common)))
    scale = float(np.abs(differences).max())
    return Estimate(float(differences.mean()), error if error > 1e-12 * scale else 0.0, len(common) - 1)


def over_images(some: np.ndarray, others: np.ndarray) -> float | None:
    """Two-sided p-value of the hypothesis that networks of two rows are right on equally many images of the same kind.

    With a network each it is McNemar's exact test; with several, a paired t-test of each image's share of networks that
    are right. It is about these networks: what trainings of other seeds would give, it doesn't know.

    Args:
        some, others: (networks, M) bool, which of the same M images each network gets right; networks may differ in
            number.

    Returns:
        None where images are too few for a test.

    References:
        McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 1947.
    """
    if len(some) == len(others) == 1:
        gained, lost = int((some[0] & ~others[0]).sum()), int((others[0] & ~some[0]).sum())
        return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    shares = some.mean(axis=0) - others.mean(axis=0)
    if len(shares) < 2:
        return None
    return Estimate(float(shares.mean()), float(shares.std(ddof=1) / np.sqrt(len(shares))), len(shares) - 1).p_value


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values corrected for their number, so that one below 0.05 among them is by chance in one family of twenty.

    The k-th smallest of m is multiplied by m - k + 1; none gets smaller than one before it, none larger than 1. What is
    None is no test, and stays so.

    References:
        Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
    """
    tests = sorted((value, place) for place, value in enumerate(p_values) if value is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, place) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - rank) * value))
        corrected[place] = largest
    return corrected
