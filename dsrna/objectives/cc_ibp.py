"""CC-IBP: the loss of margins between those under attack and those of intervals."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dsrna.objectives.attacked_bounds import AttackedBounds
from dsrna.objectives.certified_training import Numbers, proved, worst_loss
from dsrna.objectives.seen_batch import SeenBatch


@dataclass(kw_only=True, eq=False)
class CCIBP(AttackedBounds):
    """L is the cross-entropy of the margins (1 - alpha) m + alpha l, m those at x' from PGD, l bounds from intervals.

    Cost: ``steps`` forward and backward passes for the attack; about 5 of each for all else.

    Args and errors are those of :class:`~dsrna.objectives.attacked_bounds.AttackedBounds`. How it differs from the
    paper: see :class:`dsrna.objectives.mtl_ibp.MTLIBP`.

    References:
        De Palma et al., Expressive Losses for Verified Robustness via Convex Combinations (ICLR 2024).
    """

    @property
    def title(self) -> str:
        return f"certified training (CC-IBP, {self.alpha:g})"

    def robust_loss(self, seen: SeenBatch, x: Tensor, eps: float) -> tuple[Tensor, Numbers]:
        attacked = seen.margins_at(self.examples(seen, x, eps))
        margins = seen.margins(x, eps)
        loss = worst_loss((1 - self.alpha) * attacked + self.alpha * margins, seen.y)
        return loss, {"loss_mixed": loss.detach(), **proved(margins)}
