"""What TRADES and its kin share: a distance between image and example, which counts beta times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsrna.attacks import PGD
from dsrna.attacks.pgd import AttackLoss
from dsrna.errors import ConfigError
from dsrna.objectives.attacked import Attacked


@dataclass(kw_only=True, eq=False)
class ConsistencyTraining(Attacked):
    """A loss whose second term, of weight beta, is small where the network answers image and example alike.

    A subclass writes :meth:`~dsrna.objectives.attacked.Attacked.loss`.

    Args:
        beta: weight of the second term, >= 0.
        steps: attack steps.
        step_size: None means 2.5 * eps / steps; in proportion to the radius while that grows.

    All others, and errors, are those of :class:`~dsrna.objectives.attacked.Attacked`.

    Attributes:
        method: what tables call it.
        attack_loss: what its PGD goes up.
    """

    method: ClassVar[str]
    attack_loss: ClassVar[AttackLoss] = "cross_entropy"

    beta: float
    steps: int = 10
    step_size: float | None = None

    def __post_init__(self) -> None:
        if not self.beta >= 0:
            raise ConfigError(f"Expected `beta` >= 0, got {self.beta:g}. (conf: beta)")
        super().__post_init__()

    @property
    def plain_title(self) -> str:
        return f"{self.method} (beta {self.beta:g})"

    @property
    def attack(self) -> PGD:
        step_size = self.in_proportion(self.step_size)
        return PGD(
            self.threat.norm, self.radius, step_size, self.steps, loss=self.attack_loss, batch_norm=self.batch_norm
        )
