"""MTL-IBP: the loss under attack and that of intervals, side by side."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dsrna.objectives.attacked_bounds import AttackedBounds
from dsrna.objectives.certified_training import Numbers, proved, worst_loss
from dsrna.objectives.seen_batch import SeenBatch


@dataclass(kw_only=True, eq=False)
class MTLIBP(AttackedBounds):
    """L = (1 - alpha) CE(f(x'), y) + alpha CE(z, y), x' from PGD, z the worst logits that intervals leave open.

    Cost: ``steps`` forward and backward passes for the attack; about 5 of each for all else.

    Args and errors are those of :class:`~dsrna.objectives.attacked_bounds.AttackedBounds`.

    Differs from the paper: attack and intervals normalise by the clean batch's statistics, and the attacked ball is
    the certified one.

    References:
        De Palma et al., Expressive Losses for Verified Robustness via Convex Combinations (ICLR 2024).
    """

    @property
    def title(self) -> str:
        return f"certified training (MTL-IBP, {self.alpha:g})"

    def robust_loss(self, seen: SeenBatch, x: Tensor, eps: float) -> tuple[Tensor, Numbers]:
        attacked = seen.margins_at(self.examples(seen, x, eps))
        margins = seen.margins(x, eps)
        low, high = worst_loss(attacked, seen.y), worst_loss(margins, seen.y)
        numbers: Numbers = {"loss_attacked": low.detach(), "loss_certified": high.detach(), **proved(margins)}
        return (1 - self.alpha) * low + self.alpha * high, numbers
