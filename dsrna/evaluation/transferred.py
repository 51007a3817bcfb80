"""Images that were made on other networks, by which gradient masking shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dsrna.attacks import PGD
from dsrna.attacks.pgd import check_count
from dsrna.evaluation.base import EvaluationAttack, Procedure
from dsrna.evaluation.identity import network_checksum
from dsrna.types import Threat


@dataclass(frozen=True, kw_only=True, eq=False)
class Transferred(EvaluationAttack):
    """PGD on other networks, whose images are shown to this one: an attack without access to it.

    It is made by a run that has several networks, not by a config.

    Cost: ``steps`` forward and backward passes through each of the others.

    Args:
        others: networks (N, C, H, W) -> logits (N, K), attacked in turn until an image fools the one in question.
        steps: of PGD on the cross-entropy from a random start, >= 1.

    Raises:
        ConfigError: a value is out of range.
    """

    kind = "transfer"
    others: Sequence[nn.Module]
    steps: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("steps", self.steps)

    def names(self) -> tuple[str, str]:
        return "transfer", f"Transfer of PGD-{self.steps} on {len(self.others)} other network" + "s" * (
            len(self.others) > 1
        )

    def options(self) -> dict[str, Any]:
        return super().options() | {"others": [network_checksum(other) for other in self.others]}

    def procedure(self, threat: Threat) -> Procedure:
        return Procedure("dsrna", self.steps)

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        found, attack = x.clone(), PGD(threat.norm, threat.eps, steps=self.steps)
        standing = torch.ones_like(y, dtype=torch.bool)
        for other in self.others:
            examples = attack(other.to(x.device), x, y, torch.Generator().manual_seed(seed))
            with torch.no_grad():
                fooled = standing & (model(examples).argmax(dim=1) != y)
            found[fooled] = examples[fooled]
            standing &= ~fooled
        return found
