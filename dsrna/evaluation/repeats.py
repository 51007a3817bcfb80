"""How much of an accuracy under attack is chance of the attack."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any


def repeats_entry(accuracies: Sequence[float]) -> dict[str, Any]:
    """What a record says of an attack that was repeated with other random numbers on the same images.

    Args:
        accuracies: of each measurement, at least two.

    Returns:
        ``{"accuracies", "mean", "interval": [low, high]}``: Student's 95 % interval of the mean, for other random
        numbers of the attack, not for other images.

    >>> entry = repeats_entry([0.40, 0.42])
    >>> round(entry["mean"], 2), [round(end, 3) for end in entry["interval"]]
    (0.41, [0.283, 0.537])
    """
    mean = fmean(accuracies)
    from scipy.stats import t

    half = float(t.ppf(0.975, len(accuracies) - 1)) * stdev(accuracies) / len(accuracies) ** 0.5
    return {"accuracies": list(accuracies), "mean": mean, "interval": [max(0.0, mean - half), min(1.0, mean + half)]}
