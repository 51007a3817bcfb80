"""Robust accuracy in the worst case: an image counts where no attack changed its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dsrna
from dsrna.evaluation.bench import accuracy_of
from dsrna.evaluation.masking import Measurement

KEY = "worst_case"


def worst_case(measured: Sequence[Measurement]) -> list[dict[str, Any]]:
    """The record of the images that withstood every attack that looked at them; none for fewer than two attacks.

    It is the tightest upper estimate of the robust accuracy that the outcomes allow, at most the accuracy under any
    attack on all images. An attack on the first few images breaks images among these alone.

    Args:
        measured: attacks in one threat model, each on the first images of the same data.

    Returns:
        An empty list, or one record with the keys of an attack's and ``attacks``, the keys of those that it is over;
        ``images`` is the largest number that one of them attacked.

    References:
        Tramer et al., On Adaptive Attacks to Adversarial Example Defenses, NeurIPS 2020, section 4: report the
        per-example minimum over attacks.
    """
    if len(measured) < 2:
        return []
    most = max(measured, key=lambda one: len(one.outcomes))
    standing = most.outcomes.clone()
    for one in measured:
        for outcomes in (one.outcomes, *one.further):
            standing[: len(outcomes)] &= outcomes
    return [
        {
            "attack": KEY,
            "label": "Worst case",
            "norm": most.record["norm"],
            "eps": most.record["eps"],
            **accuracy_of(standing),
            "engine": "dsrna",
            "version": dsrna.__version__,
            "seed": most.record["seed"],
            "restarts": None,
            "steps": None,
            "step_size": None,
            "seconds": 0.0,
            "attacks": [one.record["attack"] for one in measured],
        }
    ]
