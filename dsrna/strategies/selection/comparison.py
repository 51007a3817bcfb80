"""Whether a derived cell is better than random ones: its rank among them, and what that rank can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LEVEL = 0.05
"""How often a search that found nothing may be called better than random."""

Verdict = Literal["better", "indistinguishable", "worse", "too few"]


@dataclass(frozen=True)
class Comparison:
    """One number of a derived cell among those of random cells; lower = better.

    A search that found nothing derives a random cell. Its rank among ``count`` others is any of 1 .. count + 1 with
    equal chance, whatever the images are, as long as all are scored on the same. So the chance of a rank as good as
    this is rank / (count + 1), exactly; at ``LEVEL`` and below, the cell is better than random ones, and in the same
    way worse. Beating more than half of the random cells is not enough: half of all random cells do that.

    Attributes:
        count: random cells.
        rank: 1 + how many of them are at least as good.
        beaten: share of them that are worse.
        interval: Wilson's 95 % interval of the share of all random cells that are worse.
        chance: how probable such a rank is for a random cell, in (0, 1].
        verdict: ``better``, ``worse``, ``indistinguishable``, or ``too few`` where no rank could tell.
    """

    count: int
    rank: int
    beaten: float
    interval: tuple[float, float]
    chance: float
    verdict: Verdict

    @classmethod
    def of(cls, derived: float, random: Sequence[float]) -> Comparison:
        """Compares a number with those of at least one random cell; lower = better."""
        count, worse = len(random), sum(value > derived for value in random)
        not_better = sum(value >= derived for value in random)
        from scipy.stats import binomtest

        interval = binomtest(worse, count).proportion_ci(0.95, method="wilson")
        chance = (count - worse + 1) / (count + 1)
        return cls(
            count=count,
            rank=count - worse + 1,
            beaten=worse / count,
            interval=(float(interval.low), float(interval.high)),
            chance=chance,
            verdict=_verdict(chance, (not_better + 1) / (count + 1), 1 / (count + 1)),
        )


def _verdict(chance: float, chance_of_worse: float, smallest: float) -> Verdict:
    if smallest > LEVEL:
        return "too few"
    if chance <= LEVEL:
        return "better"
    return "worse" if chance_of_worse <= LEVEL else "indistinguishable"
