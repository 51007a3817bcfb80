"""The attacks of Carlini and Wagner."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsrna.attacks import PGD
from dsrna.attacks.pgd import check_count, default_step_size
from dsrna.evaluation.base import EvaluationAttack, Procedure, check_positive
from dsrna.evaluation.rescaled_logits import RescaledLogits
from dsrna.functional.norms import image_norm
from dsrna.types import Threat


@dataclass(frozen=True, kw_only=True)
class CarliniWagner(EvaluationAttack):
    """C&W: for l_2 the minimum-norm attack by foolbox, for l_inf PGD on the C&W margin loss.

    l_2: ``L2CarliniWagnerAttack`` looks for the nearest misclassified image; an image counts as robust if none was
    found within eps. Images of a batch share the test that stops a search early, so another batch size may find
    slightly different examples. Logits that spread by less than 1 or more than 128 over the classes are brought into
    that range (:class:`~dsrna.evaluation.rescaled_logits.RescaledLogits`), as the weight of the margin term has units.

    l_inf: libraries have no l_inf form of the original attack, which is rarely run. What papers report as "C&W" or
    "CW-inf" is PGD with max_{j != y} f_j - f_y in the place of the cross-entropy, and so it is here, by
    :class:`dsrna.attacks.PGD` with random starts.

    Cost: l_2 up to ``binary_search_steps * steps`` forward and backward passes; l_inf ``restarts * steps``.

    Args:
        steps: optimisation steps (l_2: of each step of the binary search), >= 1.
        restarts: l_inf: searches from fresh random starts, >= 1.
        step_size: l_inf: in [0, 1] pixel units, None means 2.5 * eps / steps.
        learning_rate: l_2: Adam's step size, in the tanh space of the attack.
        binary_search_steps: l_2: steps of the search for the weight of the margin term, >= 1.
        initial_const: l_2: where that search begins.

    Raises:
        ConfigError: a value is out of range.

    References:
        Carlini and Wagner, Towards Evaluating the Robustness of Neural Networks, IEEE S&P 2017.
    """

    kind = "minimum_norm"
    steps: int = 100
    restarts: int = 1
    step_size: float | None = None
    learning_rate: float = 0.01
    binary_search_steps: int = 9
    initial_const: float = 0.001

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "restarts", "binary_search_steps"):
            check_count(name, getattr(self, name))
        check_positive(step_size=self.step_size, learning_rate=self.learning_rate, initial_const=self.initial_const)

    def names(self) -> tuple[str, str]:
        return "cw", "C&W"

    def procedure(self, threat: Threat) -> Procedure:
        if threat.norm == "l2":
            return Procedure("foolbox", self.steps, step_size=self.learning_rate)
        step_size = default_step_size(threat.eps, self.steps) if self.step_size is None else self.step_size
        return Procedure("dsrna", self.steps, self.restarts, step_size)

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        if threat.norm == "linf":
            attack = PGD("linf", threat.eps, self.step_size, self.steps, self.restarts, loss="margin")
            return attack(model, x, y, torch.Generator().manual_seed(seed))
        import foolbox

        minimiser = foolbox.attacks.L2CarliniWagnerAttack(
            binary_search_steps=self.binary_search_steps,
            steps=self.steps,
            stepsize=self.learning_rate,
            initial_const=self.initial_const,
        )
        with torch.no_grad():
            rescaled = RescaledLogits(model, model(x), low=1, high=128, per_image=True)
        network = foolbox.PyTorchModel(rescaled, bounds=(0, 1), device=x.device)
        nearest, _, fooled = minimiser(network, x, y, epsilons=None)
        # Where nothing was found foolbox returns a black image, which moved into the ball would be no finding.
        near = fooled & (image_norm(nearest - x, 2) <= threat.eps)
        return torch.where(near[:, None, None, None], nearest, x)
