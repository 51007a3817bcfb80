"""SABR: small boxes around adversarial examples."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dsrna.objectives.attacked_bounds import AttackedBounds
from dsrna.objectives.certified_training import Numbers, worst_loss
from dsrna.objectives.seen_batch import SeenBatch


@dataclass(kw_only=True, eq=False)
class SABR(AttackedBounds):
    """L is the cross-entropy of the worst logits in a ball of radius alpha * eps, which lies within that of radius eps.

    Its centre is what PGD finds at distances up to (1 - alpha) eps. Intervals through a small ball are tight without
    much of the regularisation that tight intervals through the whole ball ask for.

    Cost: ``steps`` forward and backward passes for the attack; about 3 of each for all else.

    Args and errors are those of :class:`~dsrna.objectives.attacked_bounds.AttackedBounds`; alpha is the paper's lambda.

    Differs from the paper: steps of constant length.

    References:
        Mueller et al., Certified Training: Small Boxes Are All You Need (ICLR 2023).
    """

    @property
    def title(self) -> str:
        return f"certified training (SABR, {self.alpha:g})"

    def robust_loss(self, seen: SeenBatch, x: Tensor, eps: float) -> tuple[Tensor, Numbers]:
        radius = self.alpha * eps
        margins = seen.margins(self.examples(seen, x, eps - radius), radius)
        loss = worst_loss(margins, seen.y)
        return loss, {"loss_box": loss.detach(), "acc_box": (margins.amin(dim=1) > 0).float().mean()}
