"""Certified training by interval bound propagation, and by linear relaxation that gives way to it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dsrna.bounds.engines import bound_engine
from dsrna.objectives.attacking import ramp
from dsrna.objectives.certified_training import CertifiedTraining, Numbers, check_shares, proved, worst_loss
from dsrna.objectives.seen_batch import SeenBatch

ENGINES = ("ibp", "crown_ibp")
TITLES = {"ibp": "IBP", "crown_ibp": "CROWN-IBP"}


@dataclass(kw_only=True, eq=False)
class Certified(CertifiedTraining):
    """L is the cross-entropy of the worst logits in the ball: 0 for the class y, -l_j for the others.

    l_j is a sound lower bound of the margin f_y - f_j over the ball. With ``engine="crown_ibp"``, l = beta * CROWN-IBP
    + (1 - beta) * IBP, where beta moves while the radius does: linear relaxation is tighter while weights are as they
    came, IBP once they are trained for it.

    Cost: IBP about 3 forward and backward passes in all; CROWN-IBP in addition one of each for every wrong class,
    while beta > 0.

    Args:
        engine: ``"ibp"`` or ``"crown_ibp"``.
        beta_start: share of CROWN-IBP's bound up to ``ramp_begin``, in [0, 1].
        beta_end: share from ``ramp_end`` on.

    All others, and errors, are those of :class:`~dsrna.objectives.certified_training.CertifiedTraining`.

    References:
        Gowal et al., On the Effectiveness of Interval Bound Propagation (2018), eq. 12; Zhang et al., Towards Stable
        and Efficient Training of Verifiably Robust Neural Networks (ICLR 2020), eq. 9.
    """

    engine: str = "ibp"
    beta_start: float = 1.0
    beta_end: float = 0.0

    def __post_init__(self) -> None:
        check_shares(beta_start=self.beta_start, beta_end=self.beta_end)
        super().__post_init__()
        self.beta = ramp(self.beta_start, self.beta_end, self.ramp_begin, self.ramp_end)
        self.engines[self.engine] = bound_engine(self.engine, self.threat.norm, among=ENGINES)

    @property
    def title(self) -> str:
        return f"certified training ({TITLES[self.engine]})"

    @property
    def proving(self) -> str:
        """The engine that the training ends with."""
        return "ibp" if self.beta_end == 0 else self.engine

    def robust_loss(self, seen: SeenBatch, x: Tensor, eps: float) -> tuple[Tensor, Numbers]:
        beta = self.beta.at(self.progress) if self.engine == "crown_ibp" else 0.0
        shares = {"ibp": 1 - beta, "crown_ibp": beta}
        bounds = [share * seen.margins(x, eps, name) for name, share in shares.items() if share > 0]
        margins = bounds[0] if len(bounds) == 1 else bounds[0] + bounds[1]
        loss = worst_loss(margins, seen.y)
        return loss, {"loss_certified": loss.detach(), **proved(margins)}
