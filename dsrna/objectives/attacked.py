"""What training on the examples of an attack shares, and adversarial weight perturbation, which goes with all of it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsrna.attacks.base import Attack
from dsrna.errors import ConfigError
from dsrna.nn.modes import BatchNormMode, batchnorm_statistics_frozen
from dsrna.objectives.attacking import Attacking
from dsrna.objectives.base import Again, LossForward, Result


@dataclass(kw_only=True, eq=False)
class Attacked(Attacking):
    """A loss on what an attack found.

    With a ``weight_perturbation`` gamma, weight steps take the gradient of the loss on the same examples where every
    layer's weights w_l have been moved by gamma ||w_l|| g_l / ||g_l||, g the loss's gradient: a step uphill, after
    which weights are as they were. Vectors (BatchNorm's, biases) stay. Cost: a forward and a backward pass more.

    Args:
        weight_perturbation: gamma, >= 0; 0 switches it off. AT-AWP's released code takes .01, TRADES-AWP's .005.
        perturbation_begin: progress of the training in [0, 1) from which weights are moved.
        batch_norm: statistics by which the network normalises under attack, see :class:`dsrna.attacks.base.Attack`.

    All others are those of :class:`~dsrna.objectives.attacking.Attacking`.

    Raises:
        ConfigError: a value is out of range.

    References:
        Wu, Xia, Wang, Adversarial Weight Perturbation Helps Robust Generalization, NeurIPS 2020, eqs. 7 to 10, one step
        each. Differs from the released code: running statistics follow the pass before weights are moved, there the
        one after.
    """

    weight_perturbation: float = 0.0
    perturbation_begin: float = 0.0
    batch_norm: BatchNormMode = "running"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("weight_perturbation", float("inf")), ("perturbation_begin", 1.0)):
            if not 0 <= getattr(self, name) < most:
                raise ConfigError(f"Expected `{name}` in [0, {most:g}), got {getattr(self, name):g}. (conf: {name})")
        self._perturbs = self.perturbation_begin == 0
        _ = self.attack  # refuses what is out of range

    @property
    @abstractmethod
    def attack(self) -> Attack:
        """The attack in the present ball, to which the length of its steps is proportional."""

    @abstractmethod
    def loss(self, forward: LossForward, x: Tensor, y: Tensor, examples: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the logits on the examples."""

    @property
    @abstractmethod
    def plain_title(self) -> str:
        """Of the training without a weight perturbation."""

    @property
    def title(self) -> str:
        return f"{self.plain_title} with weight perturbation" if self.weight_perturbation > 0 else self.plain_title

    def advance(self, progress: float) -> None:
        """See :meth:`dsrna.objectives.Objective.advance`."""
        super().advance(progress)
        self._perturbs = progress >= self.perturbation_begin

    def result(
        self, model: nn.Module, forward: LossForward, x: Tensor, y: Tensor, generator: torch.Generator | None
    ) -> Result:
        examples = self.attack(model, x, y, generator)
        loss, logits = self.loss(forward, x, y, examples)

        def once_more() -> Tensor:
            with batchnorm_statistics_frozen(model):
                return self.loss(forward, x, y, examples)[0]

        again = Again(once_more, self.weight_perturbation) if self._perturbs and self.weight_perturbation > 0 else None
        return Result(loss, logits, examples, self.numbers, again=again)
