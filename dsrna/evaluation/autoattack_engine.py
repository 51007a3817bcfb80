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
from dsrna.types import Norm, Threat

Version = Literal["standard", "plus", "rand"]
Loss = Literal["cross_entropy", "dlr"]

_VERSIONS = {  # key, label, restarts
    "standard": ("autoattack", "AutoAttack", 1),
    "plus": ("autoattack+", "AutoAttack+", 5),
    "rand": ("autoattack-rand", "AutoAttack for random networks", 1),
}

MOST_TARGETS = {"linf": 9, "l2": 9, "l1": 5}
"""Classes that the targeted attacks of AutoAttack try, beside the true one."""

NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}
"""Our names of the norms -> the library's."""

SMALLEST_SIDE = 5
"""The l_2 and l_1 Square attacks tile the image with squares of a fifth of its side."""

SMALLEST_SPREAD = 2**-10
"""Logits that spread by less over the classes are made larger: the library takes gradients below 1e-8 for 0."""


@dataclass(frozen=True, kw_only=True)
class AutoAttack(EvaluationAttack):
    """AutoAttack: parameter-free attacks in turn, each on the images that the ones before left standing.

    ``standard`` runs APGD on the cross-entropy, targeted APGD on the DLR loss, targeted FAB (100 steps each) and the
    black-box Square attack (5000 queries); ``plus`` adds the untargeted forms and restarts. ``rand``, for networks that
    draw random numbers, runs APGD on the cross-entropy and on the DLR loss, each step along the mean gradient of 20
    passes (EoT).

    With K < 10 classes the targeted attacks try the K - 1 that there are. The targeted DLR loss needs 4 classes and the
    DLR loss 3, so that with 3 classes untargeted APGD-DLR stands in for the targeted one, and with 2 both are left out.

    Args:
        version: ``"standard"``, ``"plus"`` or ``"rand"``.

    Raises:
        ConfigError: the version is unknown.
        UnsupportedError: from :meth:`run`, in l_2 and l_1 for images below 5 x 5 pixels, which its Square attack can't
            tile.

    References:
        Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
        Attacks, ICML 2020; for l_1, where untargeted APGD has 5 restarts, Croce and Hein, Mind the Box: l_1-APGD for
        Sparse Adversarial Attacks on Image Classifiers, ICML 2021.
    """

    kind = "ensemble"
    norms = get_args(Norm)
    version: Version = "standard"

    def __post_init__(self) -> None:
        if self.version not in get_args(Version):  # first of all, as it names the attack
            raise ConfigError(
                f"Expected `version` to be one of {', '.join(get_args(Version))}, got {self.version!r}. (conf: version)"
            )
        super().__post_init__()

    def names(self) -> tuple[str, str]:
        return _VERSIONS[self.version][:2]

    @property
    def averages_passes(self) -> bool:
        return self.version == "rand"

    def procedure(self, threat: Threat) -> Procedure:
        in_l1 = threat.norm == "l1" and self.version == "standard"
        return Procedure("pyautoattack", steps=100, restarts=5 if in_l1 else _VERSIONS[self.version][2])

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        ensemble, classes = _ensemble(model, x, threat, seed, version=self.version)
        targets = min(MOST_TARGETS[threat.norm], classes - 1)
        ensemble.apgd_targeted.n_target_classes = ensemble.fab.n_target_classes = targets
        ensemble.attacks_to_run = _possible(ensemble.attacks_to_run, classes)
        return _run(ensemble, x, y)


@dataclass(frozen=True, kw_only=True)
class APGD(EvaluationAttack):
    """AutoAttack's first part by itself: PGD that halves its step where it gets no further.

    The DLR loss, (max_{j != y} f_j - f_y) / (f_(1) - f_(3)) with the largest and the third logit, knows no scale of the
    logits, so that it doesn't saturate where the cross-entropy does. It needs 3 classes: with 2, where both losses rise
    with the same margin, the cross-entropy stands in.

    Args:
        steps: gradient steps, >= 1.
        loss: ``"cross_entropy"`` or ``"dlr"``.
        restarts: searches from fresh random starts, >= 1.
        passes: forward and backward passes whose mean gradient a step follows, >= 1; more than one for networks that
            draw random numbers (EoT).

    Raises:
        ConfigError: a value is out of range.

    References:
        Croce and Hein, see :class:`AutoAttack`.
    """

    kind = "multi_step"
    norms = get_args(Norm)
    added = ("loss", "restarts", "passes")
    steps: int = 100
    loss: Loss = "cross_entropy"
    restarts: int = 1
    passes: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "restarts", "passes"):
            check_count(name, getattr(self, name))
        if self.loss not in get_args(Loss):
            raise ConfigError(
                f"Expected `loss` to be one of {', '.join(get_args(Loss))}, got {self.loss!r}. (conf: loss)"
            )

    def names(self) -> tuple[str, str]:
        dlr = self.loss == "dlr"
        key, label = f"apgd{self.steps}" + "_dlr" * dlr, f"APGD-{self.steps}" + " (DLR)" * dlr
        if self.restarts > 1:
            key, label = f"{key}x{self.restarts}", f"{label}, {self.restarts} restarts"
        if self.averages_passes:
            key, label = f"{key}_eot{self.passes}", f"{label}, mean of {self.passes} passes"
        return key, label

    @property
    def averages_passes(self) -> bool:
        return self.passes > 1

    @property
    def maximises(self) -> str:
        return self.loss

    def procedure(self, threat: Threat) -> Procedure:
        return Procedure("pyautoattack", steps=self.steps, restarts=self.restarts)

    def search(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        ensemble, classes = _ensemble(model, x, threat, seed, version="custom", attacks=[])
        ensemble.attacks_to_run = ["apgd-dlr" if self.loss == "dlr" and classes > 2 else "apgd-ce"]
        ensemble.apgd.n_iter, ensemble.apgd.n_restarts = self.steps, self.restarts
        ensemble.apgd.eot_iter = self.passes
        ensemble.apgd.use_largereps = threat.norm == "l1"
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
    norms = get_args(Norm)
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
    if threat.norm != "linf" and min(x.shape[2:]) < SMALLEST_SIDE:
        raise UnsupportedError(
            f"Expected images of at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels for Square in {threat.norm}, "
            f"got {x.shape[2]} x {x.shape[3]}; `FoolboxPGD` and `CarliniWagner` take any size. (conf: evaluate.attacks)"
        )
    with torch.no_grad():
        logits = model(x.float())  # the library works in single precision alone
    network = RescaledLogits(model, logits, low=SMALLEST_SPREAD)
    ensemble = pyautoattack.AutoAttack(
        network, attacks=attacks, device=x.device, eps=threat.eps, norm=NORMS[threat.norm], seed=seed, version=version
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
