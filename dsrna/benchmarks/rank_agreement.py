"""How well scores and published accuracies rank architectures alike, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsrna.errors import ConfigError, NonFiniteError

_COVERAGE = 0.95


@dataclass(frozen=True)
class Coefficient:
    """A rank correlation with the ends of its 95 % bootstrap interval; NaN where a side is constant."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreements:
    """Rank correlations of every score with every column.

    Attributes:
        spearman, kendall: [score][column], Spearman's rho and Kendall's tau-b.
    """

    spearman: list[list[Coefficient]]
    kendall: list[list[Coefficient]]


def rank_agreements(
    scores: Sequence[np.ndarray], columns: Sequence[np.ndarray], resamples: int, seed: int
) -> Agreements:
    """Rank correlations of scores with columns.

    Intervals are percentiles over resampled architectures; the same resamples serve all, so that they can be compared.

    Args:
        scores: arrays (n,) of scores, one a proxy.
        columns: arrays (n,) of accuracies of the same architectures.
        resamples: of the bootstrap.
        seed: of the resamples.

    Raises:
        ConfigError: there are fewer than three architectures.
        NonFiniteError: a number is NaN or infinite.
    """
    from scipy.stats import kendalltau, spearmanr

    a, b = np.stack(scores).astype(float), np.stack(columns).astype(float)
    if a.shape[1] < 3:
        raise ConfigError(f"Expected at least three architectures to rank, got {a.shape[1]}. (conf: n)")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise NonFiniteError("Expected finite scores and accuracies to rank, got NaN or inf.")
    draws = np.random.default_rng(seed).integers(a.shape[1], size=(resamples, a.shape[1]))
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = _intervals(np.stack([_spearman(a[:, draw], b[:, draw]) for draw in draws]))
        tau = _intervals(_resampled_kendall(a, b, draws))
    return Agreements(
        spearman=_coefficients(a, b, lambda x, y: spearmanr(x, y).statistic, rho),
        kendall=_coefficients(a, b, lambda x, y: kendalltau(x, y).statistic, tau),
    )


def _coefficients(a, b, correlate, intervals):  # type: ignore[no-untyped-def]
    low, high = intervals
    return [
        [Coefficient(_correlation(correlate, x, y), float(low[i, j]), float(high[i, j])) for j, y in enumerate(b)]
        for i, x in enumerate(a)
    ]


def _correlation(correlate, x, y) -> float:  # type: ignore[no-untyped-def]
    """NaN, without scipy's warning, where a side is constant."""
    return float(correlate(x, y)) if np.ptp(x) > 0 and np.ptp(y) > 0 else float("nan")


def _intervals(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval, of (resamples, …); resamples that are constant don't count."""
    outside = (1 - _COVERAGE) / 2
    undefined = np.isnan(found).all(axis=0)
    found = np.where(undefined, 0.0, found)
    low, high = np.nanquantile(found, [outside, 1 - outside], axis=0)
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)


def _spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    left, right = (_standardised(rankdata(rows, axis=1)) for rows in (a, b))
    return left @ right.T


def _standardised(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def _resampled_kendall(a: np.ndarray, b: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(resamples, scores, columns) tau-b, from the signs of all pairs, which are computed once.

    An architecture that a resample holds w times makes w w' pairs with one that it holds w' times; its pairs with
    itself are ties and add nothing.
    """
    count = a.shape[1]
    first, second = np.triu_indices(count, k=1)
    left, right = (np.sign(rows[:, first] - rows[:, second]).astype(np.float32) for rows in (a, b))
    found = []
    for draw in draws:
        times = np.bincount(draw, minlength=count).astype(np.float32)
        pairs = times[first] * times[second]
        lengths = [np.sqrt((np.abs(signs) @ pairs).astype(np.float64)) for signs in (left, right)]
        found.append((left * pairs) @ right.T / np.outer(*lengths))
    return np.stack(found)
