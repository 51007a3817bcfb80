"""How often an evaluation goes through the network: counted on one that costs nothing and withstands everything."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.config.parts import build_part
from dsrna.config.settings import Settings
from dsrna.config.validate import attack_grid, corruption_sweep, eps_curve, further_threats, threat_of
from dsrna.data.splits import Splits
from dsrna.evaluation.base import EvaluationAttack
from dsrna.evaluation.foolbox_engine import FoolboxPGD
from dsrna.types import Threat

_SLOPE = 1e-5
"""Of the logits in the pixels: attacks have something to climb, and no ball reaches another class."""


class CountingNetwork(nn.Module):
    """Puts every image into class 0, and counts images that pass forwards and backwards.

    Args:
        values: of an image.
        classes: how many logits it gives.
    """

    def __init__(self, values: int, classes: int) -> None:
        super().__init__()
        self.forwards = self.backwards = 0
        draw = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(_SLOPE * torch.randn(classes, values, generator=draw))
        self.offset = nn.Parameter(torch.nn.functional.one_hot(torch.tensor(0), classes).float())

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        logits = x.flatten(1) @ self.weight.to(x.dtype).T + self.offset.to(x.dtype)
        if logits.requires_grad:
            logits.register_hook(self._note_backward)
        return logits

    def _note_backward(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def attack_passes(attack: EvaluationAttack, threat: Threat, shape: tuple[int, ...], classes: int) -> tuple[int, int]:
    """Forward and backward passes of an image that an attack doesn't break."""
    network = CountingNetwork(torch.Size(shape).numel(), classes)
    x = torch.full((1, *shape), 0.5)
    attack.run(network, x, torch.zeros(1, dtype=torch.int64), threat, seed=0)
    return network.forwards, network.backwards


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


def evaluation_passes(settings: Settings, splits: Splits) -> tuple[float, float]:
    """Forward and backward passes of one image each, of all that the evaluate stage does but verify."""
    threat, shape, images = threat_of(settings), splits.test.shape, len(splits.test)
    given = measurements(settings)
    radii = len(eps_curve(settings)) + 1  # and the check at a large eps
    forwards, backwards = float(images), 0.0
    found = [(attack_passes(attack, ball, shape, splits.test.classes), attack.images) for attack, ball in given]
    once = attack_passes(FoolboxPGD(steps=20), threat, shape, splits.test.classes)
    found += [(once, None)] * radii
    for (forth, back), most in found:
        attacked = images if most is None else min(most, images)
        forwards, backwards = forwards + attacked * forth, backwards + attacked * back
    sweep = corruption_sweep(settings)
    return forwards + (0 if sweep is None else len(sweep) * images), backwards
