"""Adversarial training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dsrna.attacks import PGD
from dsrna.attacks.pgd import AttackLoss
from dsrna.errors import ConfigError
from dsrna.objectives.attacked import Attacked
from dsrna.objectives.base import LossForward


@dataclass(kw_only=True, eq=False)
class Adversarial(Attacked):
    """Cross-entropy on PGD examples: min_w E max_{x' in ball} CE(f(x'), y).

    Cost: ``steps`` forward and backward passes for the attack (``restarts`` times), one of each for the loss.

    Args:
        steps: PGD steps; the paper takes 7 on CIFAR-10 (with steps of 2/255 for 8/255) and 40 on MNIST.
        step_size: None means ``relative_step_size`` * eps, and where that is None too, 2.5 * eps / steps. In proportion
            to the radius while that grows.
        relative_step_size: a step's length over eps, so that it fits every threat: 0.25 is 2/255 at 8/255.
        restarts: PGD restarts.
        random_start: start uniformly in the ball, as the paper does.
        attack_loss: ``"cross_entropy"`` as in the paper, or ``"margin"``.

    All others, and errors, are those of :class:`~dsrna.objectives.attacked.Attacked`.

    Differs from the released code: with ``batch_norm="running"`` the attack sees the network in evaluation mode, there
    in training mode.

    References:
        Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, eq. 2.1.
    """

    steps: int = 10
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True
    attack_loss: AttackLoss = "cross_entropy"
    relative_step_size: float | None = None

    def __post_init__(self) -> None:
        relative, eps = self.relative_step_size, self.threat.eps
        if relative is not None and not 0 < relative <= 2:
            raise ConfigError(
                f"Expected `relative_step_size` above 0 and at most 2, the ball's width, got {relative:g}. "
                "(conf: relative_step_size)"
            )
        if self.step_size is None and relative is not None and eps > 0:
            self.step_size = relative * eps
        super().__post_init__()

    @property
    def plain_title(self) -> str:
        return f"adversarial training (PGD-{self.steps})"

    @property
    def attack(self) -> PGD:
        return PGD(
            self.threat.norm, self.radius, self.in_proportion(self.step_size), self.steps, self.restarts,
            self.random_start, self.attack_loss, self.batch_norm,
        )  # fmt: skip

    def loss(self, forward: LossForward, x: Tensor, y: Tensor, examples: Tensor) -> tuple[Tensor, Tensor]:
        outputs = forward(examples)
        return self.cross_entropy(outputs, y), outputs[0]
