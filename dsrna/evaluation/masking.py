"""Signs of gradient masking: networks that look robust because gradient attacks fail on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from scipy.stats import binomtest
from torch import Tensor

from dsrna.evaluation.base import Kind

LEVEL = 0.01
"""Chance of a false warning that each comparison accepts."""

MEANINGS = {
    "steps": "More steps can only help an attack, so the gradients lead it astray: robustness is overestimated.",
    "single_step": "Many small steps should beat a single one, so the loss surface is too rough for them, or the "
    "network overfitted to single steps: robustness is overestimated.",
    "autoattack": "AutoAttack should be the strongest attack, so something keeps it from working on this network: "
    "report the lowest number.",
    "black_box": "An attack without gradients knows less, so the gradients hide what breaks the network: robustness "
    "under the gradient attacks is overestimated.",
}
"""What each comparison means when it fails."""


class Measurement(NamedTuple):
    """A record with what it was counted from.

    Attributes:
        record: see :func:`dsrna.evaluation.evaluate`.
        kind: kind of the attack.
        outcomes: (M,) bool, which of the images that it attacked, the first M, are correct under the attack.
    """

    record: dict[str, Any]
    kind: Kind
    outcomes: Tensor


def gradient_masking_warnings(
    measurements: Sequence[Measurement], at_large_eps: Measurement, classes: int
) -> list[dict[str, str]]:
    """What speaks for gradient masking, in words for a report; an empty list if nothing does.

    Checks, where the attacks they need were run: PGD with more steps breaks no fewer images (``steps``); nor does PGD
    than a single step (``single_step``), AutoAttack than PGD (``autoattack``), PGD than a black-box attack
    (``black_box``); and within a ball that holds one grey image for all, accuracy falls to at most chance
    (``large_eps``).

    Tolerance: attacks with random starts break slightly different images each time, so a difference alone is no sign.
    Two attacks are compared on the same images by a one-sided exact sign test (McNemar): of the images that only one
    of them broke, the weaker one must have broken significantly more than half, at the level of 1 %. (At least 7
    images are needed for that.) Accuracy at the large eps must be above 1 / K with its whole 95 % interval.

    Args:
        measurements: attacks in one threat model; of two on different numbers of images, those of both count.
        at_large_eps: a gradient attack at an eps for which the ball around every image holds the same grey image.
        classes: number of classes K.

    Returns:
        One ``{"check", "message"}`` for each sign found.

    References:
        Athalye et al., Obfuscated Gradients Give a False Sense of Security, ICML 2018, section 3.1. Carlini et al., On
        Evaluating Adversarial Robustness, 2019, section 5.
    """
    found = [
        _warning(check, weaker, stronger)
        for check, weaker, stronger in _comparisons(measurements)
        if _breaks_more(weaker, stronger)
    ]
    return found + _large_eps_warnings(at_large_eps, classes)


def _comparisons(measurements: Sequence[Measurement]) -> Iterator[tuple[str, Measurement, Measurement]]:
    """(check, attack that should be weaker, attack that should be stronger)."""
    by_kind: dict[Kind, list[Measurement]] = defaultdict(list)
    for measurement in sorted(measurements, key=lambda one: one.record["steps"]):
        by_kind[measurement.kind].append(measurement)
    multi_step = by_kind["multi_step"]
    if not multi_step:
        return
    for fewer, more in pairwise(multi_step):
        if fewer.record["steps"] < more.record["steps"]:
            yield "steps", fewer, more
    strongest = min(multi_step, key=lambda one: one.record["accuracy"])
    for single_step in by_kind["single_step"]:
        yield "single_step", single_step, strongest
    for ensemble in by_kind["ensemble"]:
        yield "autoattack", strongest, ensemble
    for black_box in by_kind["black_box"]:
        yield "black_box", black_box, strongest


def _large_eps_warnings(measurement: Measurement, classes: int) -> list[dict[str, str]]:
    record = measurement.record
    if record["interval"][0] <= 1 / classes:
        return []
    message = (
        f"{record['label']} leaves {record['accuracy']:.1%} correct at {record['norm']} eps {record['eps']:.4g}, where "
        f"every image can be turned into the same grey one, so that about 1 of {classes} classes could stay right. The "
        "attack fails although it can't: its numbers at smaller eps overestimate robustness, too."
    )
    return [{"check": "large_eps", "message": message}]


def _breaks_more(weaker: Measurement, stronger: Measurement) -> bool:
    """Whether the attack that should be weaker breaks significantly more images."""
    both = min(len(weaker.outcomes), len(stronger.outcomes))
    left_by_weaker, left_by_stronger = weaker.outcomes[:both], stronger.outcomes[:both]
    only_weaker = int((left_by_stronger & ~left_by_weaker).sum())
    only_stronger = int((left_by_weaker & ~left_by_stronger).sum())
    if only_weaker <= only_stronger:
        return False
    test = binomtest(only_weaker, only_weaker + only_stronger, 0.5, alternative="greater")
    return bool(test.pvalue < LEVEL)


def _warning(check: str, weaker: Measurement, stronger: Measurement) -> dict[str, str]:
    numbers = ", ".join(
        f"{record['label']} leaves {record['accuracy']:.1%} correct" for record in (weaker.record, stronger.record)
    )
    return {"check": check, "message": f"{numbers}. {MEANINGS[check]}"}
