"""Signs of gradient masking: networks that look robust because gradient attacks fail on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from dsrna.evaluation.base import Kind

LEVEL = 0.01
"""Chance of a false warning that each comparison accepts."""

FEWEST = math.ceil(math.log(LEVEL) / math.log(0.5))
"""With fewer images that only one of two attacks can break, no outcome of a comparison is a sign: 0.5 ** 6 > LEVEL."""

MEANINGS = {
    "steps": "More steps can only help an attack, so the gradients lead it astray: robustness is overestimated.",
    "single_step": "Many small steps should beat a single one, so the loss surface is too rough for them, or the "
    "network overfitted to single steps: robustness is overestimated.",
    "autoattack": "AutoAttack should be the strongest attack, so something keeps it from working on this network: "
    "report the lowest number.",
    "black_box": "An attack without gradients knows less, so the gradients hide what breaks the network: robustness "
    "under the gradient attacks is overestimated.",
    "transfer": "An attack on another network knows less, so the gradients of this one hide what breaks it: robustness "
    "under the gradient attacks is overestimated.",
    "large_eps": "Every image can be turned into the same grey one there, so the attack fails although it can't: its "
    "numbers at smaller eps overestimate robustness, too.",
}
"""What each check means when it fails, in the order in which they are listed."""

NEEDS = {
    "steps": "two PGD attacks on one loss, of which the one with more steps has at least as many restarts",
    "single_step": "a single-step attack (FGSM) and PGD",
    "autoattack": "AutoAttack and PGD",
    "black_box": "an attack without gradients (Square) and PGD",
    "transfer": "images made on another network of the run, and PGD",
}
"""The attacks that a comparison is between."""


class Measurement(NamedTuple):
    """A record with what it was counted from.

    Attributes:
        record: see :func:`dsrna.evaluation.evaluate`.
        kind: kind of the attack.
        outcomes: (M,) bool, which of the images that it attacked, the first M, are correct under the attack.
        further: the same of its repeats with other random numbers.
        maximises: the loss that the attack goes up.
    """

    record: dict[str, Any]
    kind: Kind
    outcomes: Tensor
    further: tuple[Tensor, ...] = ()
    maximises: str = "cross_entropy"


Pair = tuple[Measurement, Measurement]
"""(attack that should be weaker, attack that should be stronger)."""


def masking_checks(
    measurements: Sequence[Measurement],
    at_large_eps: Measurement,
    clean: dict[str, Any],
    correct: Tensor,
    guessing: float,
) -> list[dict[str, str]]:
    """Which checks for gradient masking passed, which failed, and which could not be made, in words for a report.

    Checks, where the attacks they need were run: PGD with more steps on the same loss breaks no fewer images
    (``steps``; another loss may be the weaker one); nor does PGD than a single step (``single_step``), AutoAttack than
    PGD (``autoattack``), PGD than a black-box attack (``black_box``) or than images that were made on another network
    (``transfer``); and within a ball that holds one grey image for all, accuracy falls to at most that of guessing
    (``large_eps``).

    Tolerance: attacks with random starts break slightly different images each time, so a difference alone is no sign.
    Two attacks are compared on the same images by a one-sided exact sign test (McNemar): of the images that only one
    of them broke, the weaker one must have broken significantly more than half, at the level of 1 %. Accuracy at the
    large eps must be above guessing with its whole 95 % interval.

    A check that can't fail is no check. None is made of a network whose accuracy without attack isn't above guessing
    with its whole interval, and no comparison of attacks where the network gets fewer than 7 of the images right.

    Args:
        measurements: attacks in one threat model; of two on different numbers of images, those of both count.
        at_large_eps: a gradient attack at an eps for which the ball around every image holds the same grey image.
        clean: the record of the accuracy without attack.
        correct: (N,) bool, which images are correct without attack.
        guessing: accuracy of the best answer that ignores the image.

    Returns:
        One ``{"check", "state": "passed" | "failed" | "not run", "message"}`` for each check of :data:`MEANINGS`.

    References:
        Athalye et al., Obfuscated Gradients Give a False Sense of Security, ICML 2018, section 3.1. Carlini et al., On
        Evaluating Adversarial Robustness, 2019, section 5.
    """
    reason = at_chance(clean, guessing)
    if reason is not None:
        return [entry(check, "not run", reason) for check in MEANINGS]
    pairs = _pairs(measurements)
    return [
        *(_compared(check, pairs[check], correct) for check in NEEDS),
        _fallen(at_large_eps.record, guessing),
    ]


def at_chance(clean: dict[str, Any], guessing: float) -> str | None:
    """Why no check can be made of a network that isn't better than guessing; None where it is."""
    low, high = clean["interval"]
    if low > guessing:
        return None
    return (
        f"the network is at chance level: without attack {clean['accuracy']:.1%} of {clean['images']:,} images are "
        f"correct (95 % interval {low:.1%} to {high:.1%}), guessing gets {guessing:.1%}"
    )


def _pairs(measurements: Sequence[Measurement]) -> dict[str, list[Pair]]:
    """Check -> what it compares."""

    def of(kind: Kind) -> list[Measurement]:
        return [one for one in measurements if one.kind == kind]

    multi_step = of("multi_step")
    seen_by_all = min((len(one.outcomes) for one in multi_step), default=0)
    strongest = sorted(multi_step, key=lambda one: int(one.outcomes[:seen_by_all].sum()))[:1]
    return {
        "steps": [
            (fewer, more)
            for fewer in multi_step
            for more in multi_step
            if fewer.maximises == more.maximises
            and fewer.record["steps"] < more.record["steps"]
            and fewer.record["restarts"] <= more.record["restarts"]
        ],
        "single_step": [(weaker, stronger) for weaker in of("single_step") for stronger in strongest],
        "autoattack": [(weaker, stronger) for weaker in strongest for stronger in of("ensemble")],
        "black_box": [(weaker, stronger) for weaker in of("black_box") for stronger in strongest],
        "transfer": [(weaker, stronger) for weaker in of("transfer") for stronger in strongest],
    }


def _compared(check: str, pairs: Sequence[Pair], correct: Tensor) -> dict[str, str]:
    if not pairs:
        return entry(check, "not run", f"it compares {NEEDS[check]}, and not all of them are among the attacks")
    breakable = [int(correct[: _shared(pair)].sum()) for pair in pairs]
    telling = [pair for pair, images in zip(pairs, breakable, strict=True) if images >= FEWEST]
    if not telling:
        return entry(
            check,
            "not run",
            f"too few images: of those that both attacks saw, {max(breakable)} are correct without attack, "
            f"and with fewer than {FEWEST} no difference could be told from chance",
        )
    suspicious = [pair for pair in telling if _breaks_more(pair)]
    if suspicious:
        return entry(check, "failed", f"{'; '.join(map(_numbers, suspicious))}. {MEANINGS[check]}")
    return entry(check, "passed", "; ".join(map(_numbers, telling)))


def _fallen(record: dict[str, Any], guessing: float) -> dict[str, str]:
    numbers = (
        f"{record['label']} leaves {record['accuracy']:.1%} of {record['images']:,} images correct at {record['norm']} "
        f"eps {record['eps']:.4g}; guessing gets {guessing:.1%}"
    )
    if record["interval"][0] <= guessing:
        return entry("large_eps", "passed", numbers)
    return entry("large_eps", "failed", f"{numbers}. {MEANINGS['large_eps']}")


def _breaks_more(pair: Pair) -> bool:
    """Whether the attack that should be weaker breaks significantly more images."""
    left_by_weaker, left_by_stronger = (one.outcomes[: _shared(pair)] for one in pair)
    only_weaker = int((left_by_stronger & ~left_by_weaker).sum())
    only_stronger = int((left_by_weaker & ~left_by_stronger).sum())
    if only_weaker <= only_stronger:
        return False
    from scipy.stats import binomtest

    test = binomtest(only_weaker, only_weaker + only_stronger, 0.5, alternative="greater")
    return bool(test.pvalue < LEVEL)


def _shared(pair: Pair) -> int:
    """Of how many images both attacks have outcomes."""
    return min(len(one.outcomes) for one in pair)


def _numbers(pair: Pair) -> str:
    shared = _shared(pair)
    left = " and ".join(f"{one.record['label']} {one.outcomes[:shared].float().mean():.1%}" for one in pair)
    return f"{left} of {shared:,} images stay correct"


def entry(check: str, state: str, message: str) -> dict[str, str]:
    """One check with what came of it: ``"passed"``, ``"failed"`` or ``"not run"``."""
    return {"check": check, "state": state, "message": message}
