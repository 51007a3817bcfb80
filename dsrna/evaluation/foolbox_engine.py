"""FGSM and PGD by foolbox."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsrna.attacks.pgd import check_count, default_step_size
from dsrna.errors import ConfigError
from dsrna.evaluation.base import EvaluationAttack, Procedure, check_positive
from dsrna.types import Threat


@dataclass(frozen=True, kw_only=True)
class FoolboxPGD(EvaluationAttack):
    """PGD on the cross-entropy, by foolbox's ``LinfPGD`` and ``L2PGD``.

    Cost: ``steps`` forward and backward passes a restart; a restart attacks only the images that are still right.

    Args:
        steps: gradient steps, >= 1.
        restarts: searches from fresh random starts, >= 1.
        step_size: in [0, 1] pixel units; None means 2.5 * eps / steps.
        random_start: start uniformly in the ball instead of at the image.

    Raises:
        ConfigError: a value is out of range.
    """

    kind = "multi_step"
    steps: int = 20
    restarts: int = 1
    step_size: float | None = None
    random_start: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("steps", self.steps)
        check_count("restarts", self.restarts)
        check_positive(step_size=self.step_size)
        if self.restarts > 1 and not self.random_start:
            raise ConfigError(
                f"Expected `restarts` = 1 without a random start, got {self.restarts}: every restart would find the "
                "same images. (conf: restarts)"
            )

    def names(self) -> tuple[str, str]:
        if self.restarts == 1:
            return f"pgd{self.steps}", f"PGD-{self.steps}"
        return f"pgd{self.steps}x{self.restarts}", f"PGD-{self.steps}, {self.restarts} restarts"

    def procedure(self, threat: Threat) -> Procedure:
        step_size = default_step_size(threat.eps, self.steps) if self.step_size is None else self.step_size
        return Procedure("foolbox", self.steps, self.restarts, step_size)

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        import foolbox

        from dsrna.evaluation.foolbox_attacks import L2PGD

        family = foolbox.attacks.LinfPGD if threat.norm == "linf" else L2PGD
        step_size = self.procedure(threat).step_size
        attack = family(abs_stepsize=step_size, steps=self.steps, random_start=self.random_start)
        network = foolbox.PyTorchModel(model, bounds=(0, 1), device=x.device)
        found = x.clone()
        standing = torch.arange(len(x), device=x.device)
        for _ in range(self.restarts):
            _, examples, fooled = attack(network, x[standing], y[standing], epsilons=threat.eps)
            found[standing[fooled]] = examples[fooled]
            standing = standing[~fooled]
            if len(standing) == 0:
                break
        return found


@dataclass(frozen=True, kw_only=True)
class FoolboxFGSM(EvaluationAttack):
    """One gradient step of length eps from the image, by foolbox's ``LinfFastGradientAttack`` and its l_2 sister.

    A weak attack: it is here for its comparison with PGD, never as a measure of robustness by itself.

    Cost: one forward and one backward pass.
    """

    kind = "single_step"

    def names(self) -> tuple[str, str]:
        return "fgsm", "FGSM"

    def procedure(self, threat: Threat) -> Procedure:
        return Procedure("foolbox", steps=1, step_size=threat.eps)

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        import foolbox

        from dsrna.evaluation.foolbox_attacks import L2FastGradientAttack

        linf = threat.norm == "linf"
        attack = foolbox.attacks.LinfFastGradientAttack() if linf else L2FastGradientAttack()
        network = foolbox.PyTorchModel(model, bounds=(0, 1), device=x.device)
        examples: Tensor = attack(network, x, y, epsilons=threat.eps)[1]
        return examples
