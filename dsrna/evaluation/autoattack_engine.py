"""AutoAttack and two of its parts by themselves, by pyautoattack."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal, get_args

import pyautoattack
import torch
from torch import Tensor, nn

from dsrna.attacks.pgd import check_count
from dsrna.errors import ConfigError, UnsupportedError
from dsrna.evaluation.base import EvaluationAttack, Procedure
from dsrna.evaluation.rescaled_logits import RescaledLogits
from dsrna.types import Threat

Version = Literal["standard", "plus"]

MOST_TARGETS = 9
"""Classes that the targeted attacks of AutoAttack try, beside the true one."""

SMALLEST_L2_SIDE = 5
"""The l_2 Square attack tiles the image with squares of a fifth of its side."""

SMALLEST_SPREAD = 2**-10
"""Logits that spread by less over the classes are made larger: the library takes gradients below 1e-8 for 0."""


@dataclass(frozen=True, kw_only=True)
class AutoAttack(EvaluationAttack):
    """AutoAttack: parameter-free attacks in turn, each on the images that the ones before left standing.

    ``standard`` runs APGD on the cross-entropy, targeted APGD on the DLR loss, targeted FAB (100 steps each) and the
    black-box Square attack (5000 queries); ``plus`` adds the untargeted forms and restarts.

    With K < 10 classes the targeted attacks try the K - 1 that there are. The targeted DLR loss needs 4 classes and the
    DLR loss 3, so that with 3 classes untargeted APGD-DLR stands in for the targeted one, and with 2 both are left out.

    Args:
        version: ``"standard"`` or ``"plus"``.

    Raises:
        ConfigError: the version is unknown.
        UnsupportedError: from :meth:`run`, in l_2 for images below 5 x 5 pixels, which its Square attack can't tile.

    References:
        Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
        Attacks, ICML 2020.
    """

    kind = "ensemble"
    version: Version = "standard"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.version not in get_args(Version):
            raise ConfigError(
                f"Expected `version` to be one of {', '.join(get_args(Version))}, got {self.version!r}. (conf: version)"
            )

    def names(self) -> tuple[str, str]:
        return ("autoattack", "AutoAttack") if self.version == "standard" else ("autoattack+", "AutoAttack+")

    def procedure(self, threat: Threat) -> Procedure:
        return Procedure("pyautoattack", steps=100, restarts=1 if self.version == "standard" else 5)

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        ensemble, classes = _ensemble(model, x, threat, seed, version=self.version)
        targets = min(MOST_TARGETS, classes - 1)
        ensemble.apgd_targeted.n_target_classes = ensemble.fab.n_target_classes = targets
        ensemble.attacks_to_run = _possible(ensemble.attacks_to_run, classes)
        return _run(ensemble, x, y)


@dataclass(frozen=True, kw_only=True)
class APGD(EvaluationAttack):
    """AutoAttack's first part by itself: PGD on the cross-entropy that halves its step where it gets no further.

    Args:
        steps: gradient steps, >= 1.

    Raises:
        ConfigError: a value is out of range.

    References:
        Croce and Hein, see :class:`AutoAttack`.
    """

    kind = "multi_step"
    steps: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("steps", self.steps)

    def names(self) -> tuple[str, str]:
        return f"apgd{self.steps}", f"APGD-{self.steps}"

    def procedure(self, threat: Threat) -> Procedure:
        return Procedure("pyautoattack", steps=self.steps)

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        ensemble, _ = _ensemble(model, x, threat, seed, version="custom", attacks=["apgd-ce"])
        ensemble.apgd.n_iter, ensemble.apgd.n_restarts = self.steps, 1
        return _run(ensemble, x, y)


@dataclass(frozen=True, kw_only=True)
class Square(EvaluationAttack):
    """The Square attack: random search by queries, without gradients.

    Where it breaks more images than PGD does, the network's gradients mislead (see the gradient-masking checks).

    Args:
        queries: forward passes an image, >= 1.

    Raises:
        ConfigError: a value is out of range.
        UnsupportedError: from :meth:`run`, see :class:`AutoAttack`.

    References:
        Andriushchenko et al., Square Attack: a Query-efficient Black-box Adversarial Attack via Random Search,
        ECCV 2020.
    """

    kind = "black_box"
    queries: int = 5000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("queries", self.queries)

    def names(self) -> tuple[str, str]:
        return "square", "Square"

    def procedure(self, threat: Threat) -> Procedure:
        return Procedure("pyautoattack", steps=self.queries)

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        ensemble, _ = _ensemble(model, x, threat, seed, version="custom", attacks=["square"])
        ensemble.square.n_queries = self.queries
        return _run(ensemble, x, y)


def _ensemble(
    model: nn.Module, x: Tensor, threat: Threat, seed: int, version: str, attacks: list[str] | None = None
) -> tuple[pyautoattack.AutoAttack, int]:
    """The library's ensemble, and the number of classes."""
    if threat.norm == "l2" and min(x.shape[2:]) < SMALLEST_L2_SIDE:
        raise UnsupportedError(
            f"Expected images of at least {SMALLEST_L2_SIDE} x {SMALLEST_L2_SIDE} pixels for the l_2 Square attack, "
            f"got {x.shape[2]} x {x.shape[3]}; `FoolboxPGD` and `CarliniWagner` take any size. (conf: evaluate.attacks)"
        )
    norm = "Linf" if threat.norm == "linf" else "L2"
    with torch.no_grad():
        logits = model(x.float())  # the library works in single precision alone
    network = RescaledLogits(model, logits, low=SMALLEST_SPREAD)
    ensemble = pyautoattack.AutoAttack(
        network, attacks=attacks, device=x.device, eps=threat.eps, norm=norm, seed=seed, version=version
    )
    return ensemble, logits.shape[1]


def _possible(attacks: list[str], classes: int) -> list[str]:
    if classes > 3:
        return attacks
    attacks = ["apgd-dlr" if attack == "apgd-t" else attack for attack in attacks]
    if classes < 3:
        attacks = [attack for attack in attacks if attack != "apgd-dlr"]
    return list(dict.fromkeys(attacks))


def _run(ensemble: pyautoattack.AutoAttack, x: Tensor, y: Tensor) -> Tensor:
    trace = sys.gettrace()
    try:
        examples: Tensor = ensemble.run_standard_evaluation(x.float(), y, batch_size=len(x))[0]
    finally:
        # Its check for dynamic defences takes the debugger's or coverage's trace function away.
        sys.settrace(trace)
    return examples.to(x.dtype)
