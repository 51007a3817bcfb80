"""Verdicts on all images as numbers, each with what it takes to judge it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

from dsrna.verification.settings import Verification
from dsrna.verification.verdict import Verdict


def summarise(verdicts: Sequence[Verdict], settings: Verification) -> dict[str, Any]:
    """The part of :func:`dsrna.verification.verify`'s result that comes from the verdicts."""
    return {
        "correct": sum(verdict.correct for verdict in verdicts),
        "curve": [_at(verdicts, eps) for eps in settings.eps],
        "radius": _radius(verdicts) if settings.radius else None,
        "proved_by": _count(verdict.engine for verdict in verdicts),
        "stopped": _count(verdict.stopped for verdict in verdicts),
        "bound_seconds": sum(verdict.seconds for verdict in verdicts),
    }


def _at(verdicts: Sequence[Verdict], eps: float) -> dict[str, Any]:
    states = Counter(verdict.at(eps) for verdict in verdicts)
    images = len(verdicts)
    certified, certified_interval = share_with_interval(states["certified"], images)
    standing, standing_interval = share_with_interval(images - states["attacked"], images)
    return {
        "eps": eps,
        "certified": certified,
        "certified_interval": certified_interval,
        "standing": standing,
        "standing_interval": standing_interval,
        "undecided": states["undecided"] / images,
        "images": images,
    }


def _radius(verdicts: Sequence[Verdict]) -> dict[str, Any] | None:
    correct = [verdict for verdict in verdicts if verdict.correct]
    if not correct:
        return None
    attacked = [verdict.attacked for verdict in correct if verdict.attacked is not None]
    return {
        "images": len(correct),
        "mean": fmean(verdict.certified for verdict in correct),
        "median": median(verdict.certified for verdict in correct),
        "attacked_images": len(attacked),
        "attacked_mean": fmean(attacked) if attacked else None,
        "attacked_median": median(attacked) if attacked else None,
    }


def _count(names: Any) -> dict[str, int]:
    return dict(Counter(name for name in names if name))


def share_with_interval(count: int, images: int) -> tuple[float, list[float]]:
    """A share of images and Wilson's 95 % interval."""
    from scipy.stats import binomtest

    interval = binomtest(count, images).proportion_ci(0.95, method="wilson")
    return count / images, [float(interval.low), float(interval.high)]
