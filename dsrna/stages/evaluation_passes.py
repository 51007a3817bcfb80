"""How often an evaluation goes through the network: counted on one that costs nothing and withstands all or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dsrna.clock import working_seconds
from dsrna.config.parts import build_part
from dsrna.config.settings import Settings
from dsrna.config.validate import (
    attack_grid,
    corruption_sweep,
    eps_curve,
    further_threats,
    smoothing,
    spatial,
    threat_of,
)
from dsrna.data.splits import Splits
from dsrna.errors import DsrnaError
from dsrna.evaluation.base import EvaluationAttack
from dsrna.evaluation.foolbox_engine import FoolboxPGD
from dsrna.types import Threat

_CPU = torch.device("cpu")
_GENTLE, _STEEP = 1e-5, 1e5
"""Slope of the logits in the pixels, so that attacks have something to climb: no ball reaches another class, or the
first step does."""


class Passes(NamedTuple):
    """Of an attack on a batch.

    Attributes:
        forwards, backwards: passes of each of its images.
        seconds: of the attack's own arithmetic, on one image; it hardly grows with the batch.
    """

    forwards: int
    backwards: int
    seconds: float = 0.0


@dataclass(frozen=True)
class Measurement:
    """An attack in a threat model, on so many images."""

    label: str
    images: int
    passes: Passes


class CountingNetwork(nn.Module):
    """Puts grey images into class 0, and counts images that pass forwards and backwards.

    Args:
        values: of an image.
        classes: how many logits it gives.
        slope: of the logits.
    """

    def __init__(self, values: int, classes: int, slope: float = _GENTLE) -> None:
        super().__init__()
        self.forwards = self.backwards = 0
        draw = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(slope * torch.randn(classes, values, generator=draw))
        self.offset = nn.Parameter(2.0 * torch.nn.functional.one_hot(torch.tensor(0), classes))

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        moved = (x - 0.5).flatten(1)
        logits = moved @ self.weight.to(x.dtype).T + self.offset.to(x.dtype)
        if logits.requires_grad:
            logits.register_hook(self._note_backward)
        return logits

    def _note_backward(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def attack_passes(
    attack: EvaluationAttack, threat: Threat, shape: tuple[int, ...], classes: int, withstands: bool = True
) -> Passes:
    """Those of an image that an attack doesn't break, or of one that any step breaks."""
    network = CountingNetwork(torch.Size(shape).numel(), classes, _GENTLE if withstands else _STEEP)
    x, began = torch.full((1, *shape), 0.5), working_seconds(_CPU)
    attack.run(network, x, torch.zeros(1, dtype=torch.int64), threat, seed=0)
    return Passes(network.forwards, network.backwards, working_seconds(_CPU) - began)


def chosen_attacks(settings: Settings) -> list[EvaluationAttack]:
    """Those that the evaluate stage runs."""
    allowed = settings.trainer.limits.attacks
    return [
        build_part(node, f"evaluate.attacks.{name}")
        for name, node in settings.evaluate.attacks.items()
        if node is not None and (allowed is None or name in allowed)
    ]


def measurements(settings: Settings) -> list[tuple[EvaluationAttack, Threat]]:
    """Every attack in every threat model that it knows, as often as it is repeated, then the grid."""
    threats = [threat_of(settings), *further_threats(settings)]
    pairs = [(attack, threat) for threat in threats for attack in chosen_attacks(settings)]
    found = [pair for pair in pairs if pair[1].norm in pair[0].norms for _ in range(pair[0].repeats)]
    return found + [(attack, ball) for attack, balls in attack_grid(settings).values() for ball in balls]


def counted_measurements(
    settings: Settings, splits: Splits, withstands: bool = True
) -> tuple[list[Measurement], list[str]]:
    """Attacks and curve, counted; and the labels of attacks that the counting network is too simple for.

    An attack is counted once for all radii and, as that takes seconds, for all norms but of minimum-norm attacks.
    """
    test, threat = splits.test, threat_of(settings)
    curve = [(FoolboxPGD(steps=20), Threat(threat.norm, eps)) for eps in eps_curve(settings)]
    found: list[Measurement] = []
    unknown: list[str] = []
    known: dict[tuple[str, str], Passes] = {}
    for attack, ball in [*measurements(settings), *curve]:
        kind = attack.key, ball.norm if attack.kind == "minimum_norm" else ""
        if kind not in known:
            try:
                known[kind] = attack_passes(attack, ball, test.shape, test.classes, withstands)
            except (DsrnaError, AttributeError, TypeError, ValueError, RuntimeError):
                unknown.append(attack.label)
                continue
        images = len(test) if attack.images is None else min(attack.images, len(test))
        found.append(Measurement(attack.label, images, known[kind]))
    return found, list(dict.fromkeys(unknown))


def plain_measurements(settings: Settings, splits: Splits) -> list[Measurement]:
    """What goes through the network as it is: clean and corrupted images, rotated ones, those with noise."""
    images = len(splits.test)

    def of(label: str, most: int | None, forwards: int) -> Measurement:
        return Measurement(label, images if most is None else min(most, images), Passes(forwards, 0))

    found = [of("clean images", None, 1)]
    if (sweep := corruption_sweep(settings)) is not None:
        found.append(of("corruptions", None, len(sweep)))
    if (grid := spatial(settings)) is not None:
        found.append(of("rotations and shifts", grid.images, grid.rotations * grid.translations**2))
    if (noise := smoothing(settings)) is not None:
        found.append(of("smoothing", noise.images, noise.selection_samples + noise.samples))
    return found
