"""What certified trainings share that attack, too."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dsrna.attacks import PGD
from dsrna.objectives.certified_training import CertifiedTraining, check_shares
from dsrna.objectives.seen_batch import SeenBatch


@dataclass(kw_only=True, eq=False)
class AttackedBounds(CertifiedTraining):
    """A loss between that of an attack, which is too small, and that of intervals, which is too large.

    Args:
        alpha: where between the two, in [0, 1]: 0 is adversarial training, 1 is IBP. What suits small balls is small;
            it trades clean for certified accuracy.
        steps: PGD steps of the attack.
        relative_step_size: a step's length over the radius of the ball that is attacked.
        engine: bound engine by which images count as certified in validation. Networks that were trained on less than
            the whole ball's intervals are not certified by these, so by default a tighter one.

    All others, and errors, are those of :class:`~dsrna.objectives.certified_training.CertifiedTraining`. kappa is 1
    from the start, as published: the clean loss is L's own while the radius is 0.
    """

    alpha: float
    steps: int = 8
    relative_step_size: float = 0.25
    engine: str = "crown_ibp"
    kappa_start: float = 1.0
    kappa_end: float = 1.0

    def __post_init__(self) -> None:
        check_shares(alpha=self.alpha)
        super().__post_init__()
        self.attack(self.threat.eps)  # refuses what is out of range

    @property
    def proving(self) -> str:
        return self.engine

    def attack(self, radius: float) -> PGD:
        """The attack in a ball, from a random start."""
        step_size = self.relative_step_size * radius if radius > 0 else None
        return PGD(self.threat.norm, radius, step_size, self.steps)

    def examples(self, seen: SeenBatch, x: Tensor, radius: float) -> Tensor:
        """(N, ...) what the attack finds in a ball; the images themselves in one of radius 0."""
        return seen.examples(x, self.attack(radius)) if radius > 0 else x
