"""What every certified training shares: growing radii, a start, the statistics, what counts as proved."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.bounds.engine import BoundEngine
from dsrna.bounds.engines import ENGINES, bound_engine
from dsrna.bounds.eps_schedule import Shape
from dsrna.errors import ConfigError
from dsrna.nn.batch_statistics import noting_batch_statistics
from dsrna.nn.certified_initialization import copying_initialization, ibp_initialization
from dsrna.objectives.attacking import ramp
from dsrna.objectives.base import LossForward, Objective, Result
from dsrna.objectives.interval_regulariser import IntervalRegulariser
from dsrna.objectives.seen_batch import SeenBatch
from dsrna.types import Threat

Initialization = Literal["copies", "ibp"]
Numbers = dict[str, float | Tensor]


@dataclass(kw_only=True, eq=False)
class CertifiedTraining(Objective):
    """(1 - kappa) CE(f(x), y) + kappa L, where L is what a subclass says of the ball of radius eps cut with [0, 1].

    Radius and kappa grow while training goes on, both between the same two times.

    All that L looks at is the network that normalises by the statistics of the clean batch, attacks included, and L's
    gradients flow through these: the running statistics lag behind, and bounds by them didn't train at all (digits, 3
    DARTS cells: no image certified, chance accuracy). What is validated, kept and reported is the network in evaluation
    mode, whose bounds are sound for it.

    Args:
        threat: the ball that is certified.
        eps_start: radius up to ``ramp_begin``.
        eps_factor: radius from ``ramp_end`` on, over the threat's; a little more than 1 may generalise better.
        ramp_begin: progress of the training in [0, 1] at which radius and kappa start to move.
        ramp_end: progress at which they have arrived, in [ramp_begin, 1].
        ramp_shape: of the radius, ``"linear"`` or ``"smooth"``.
        kappa_start: weight of L up to ``ramp_begin``, in [0, 1].
        kappa_end: weight from ``ramp_end`` on.
        initialization: of the weights: ``"copies"`` of channels, see
            :func:`dsrna.nn.certified_initialization.copying_initialization`, or ``"ibp"``, see
            :func:`dsrna.nn.certified_initialization.ibp_initialization`.
        start_noise: noise of the copies, >= 0; None keeps torch's own start.
        regularization: weight of :class:`~dsrna.objectives.interval_regulariser.IntervalRegulariser`, >= 0, which falls
            to 0 as the radius grows. Shi et al. take 0.5.
        label_smoothing: see :class:`dsrna.objectives.Objective`; not in L.
        auxiliary_weight: see :class:`dsrna.objectives.Objective`; the same whatever kappa is.

    Attributes:
        proving: name of the bound engine by which images count as certified, see :meth:`certified`.

    Raises:
        ConfigError: a value is out of range.
    """

    threat: Threat = field(kw_only=False)
    eps_start: float = 0.0
    eps_factor: float = 1.0
    ramp_begin: float = 0.05
    ramp_end: float = 0.6
    ramp_shape: Shape = "smooth"
    kappa_start: float = 0.0
    kappa_end: float = 0.9
    initialization: Initialization = "copies"
    start_noise: float | None = 0.03
    regularization: float = 0.0
    label_smoothing: float = 0.0
    auxiliary_weight: float = 0.4

    def __post_init__(self) -> None:
        Objective.__init__(self, self.label_smoothing, self.auxiliary_weight)
        check_shares(kappa_start=self.kappa_start, kappa_end=self.kappa_end)
        for name in ("eps_start", "eps_factor", "start_noise", "regularization"):
            amount = getattr(self, name) or 0.0
            if not 0 <= amount < math.inf:
                raise ConfigError(f"Expected `{name}` to be finite and >= 0, got {amount:g}. (conf: {name})")
        if self.initialization not in get_args(Initialization):
            raise ConfigError(
                f"Expected `initialization` to be {' or '.join(get_args(Initialization))}, got "
                f"{self.initialization!r}. (conf: initialization)"
            )
        self.largest = Threat(self.threat.norm, self.threat.eps * self.eps_factor).eps
        self.eps = ramp(self.eps_start, self.largest, self.ramp_begin, self.ramp_end, self.ramp_shape)
        self.kappa = ramp(self.kappa_start, self.kappa_end, self.ramp_begin, self.ramp_end)
        self.engines: dict[str, BoundEngine] = {}
        for name in ("ibp", self.proving):
            self.engines[name] = bound_engine(name, self.threat.norm, among=list(ENGINES))
        self.progress = 0.0

    @property
    @abstractmethod
    def proving(self) -> str: ...

    @abstractmethod
    def robust_loss(self, seen: SeenBatch, x: Tensor, eps: float) -> tuple[Tensor, Numbers]:
        """L, the mean over the batch, and what else is worth a curve; without a ball, at eps 0, that of the images."""

    def initialise(self, model: nn.Module) -> None:
        if self.initialization == "ibp":
            ibp_initialization(model)
        elif self.start_noise is not None:
            copying_initialization(model, self.start_noise)

    def advance(self, progress: float) -> None:
        self.progress = progress

    def result(
        self, model: nn.Module, forward: LossForward, x: Tensor, y: Tensor, generator: torch.Generator | None
    ) -> Result:
        eps, kappa = self.eps.at(self.progress), self.kappa.at(self.progress)
        with noting_batch_statistics(model) as statistics:
            outputs = forward(x)
        clean = self.cross_entropy(outputs, y)
        numbers: Numbers = {"eps": eps, "kappa": kappa}
        if kappa == 0:
            return Result(clean, outputs[0], x, numbers)
        weight = self.regularization * (1 - eps / self.largest) if eps > 0 else 0.0
        regulariser = IntervalRegulariser(model) if weight > 0 else None
        robust, further = self.robust_loss(
            SeenBatch(model, y, statistics, self.engines, generator, regulariser), x, eps
        )
        loss = (1 - kappa) * clean + kappa * (robust + self.auxiliary_loss(outputs, y))
        term = None if regulariser is None else regulariser.value()
        if term is not None:
            loss = loss + weight * term
            numbers["regularizer"] = term.detach()
        return Result(loss, outputs[0], x, numbers | further)

    @torch.no_grad()
    def certified(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """By the engine :attr:`proving`; in evaluation mode, at the threat's radius.

        The margin has to be above what rounding can change, see :meth:`~dsrna.bounds.engine.BoundEngine.allowing_for`.
        """
        least = self.engines[self.proving].allowing_for(x.dtype)(model, x, self.threat.eps, y).lower.amin(dim=1)
        return (least > 0) & least.isfinite()


def check_shares(**shares: float) -> None:
    """Refuses what is not in [0, 1].

    Raises:
        ConfigError: names the setting.
    """
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"Expected `{name}` in [0, 1], got {share:g}. (conf: {name})")


def proved(margins: Tensor) -> Mapping[str, Tensor]:
    """``acc_certified``, the share of images all of whose (N, K - 1) margins are above 0."""
    return {"acc_certified": (margins.amin(dim=1) > 0).float().mean()}


def worst_loss(margins: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of the worst logits that lower bounds of the margins leave open; the mean over the batch.

    With the bounds of a ball, it bounds the cross-entropy of every image in it.

    Args:
        margins: (N, K - 1) lower bounds l_j of f_y - f_j, in ascending order of the wrong classes.
        y: (N,) true classes.

    Returns:
        Scalar, differentiable in ``margins``.
    """
    return worst_losses(margins, y).mean()


def worst_losses(margins: Tensor, y: Tensor) -> Tensor:
    """The same of each image, (N,)."""
    return F.cross_entropy(worst_logits(margins, y), y, reduction="none")


def worst_logits(margins: Tensor, y: Tensor) -> Tensor:
    """Logits with 0 for the true class and -l_j for the others.

    Args:
        margins: (N, K - 1) lower bounds l_j of f_y - f_j, in ascending order of the wrong classes.
        y: (N,) true classes.

    Returns:
        (N, K); differentiable in ``margins``.

    >>> worst_logits(torch.tensor([[3.0, -1.0]]), torch.tensor([1]))
    tensor([[-3.,  0.,  1.]])
    """
    classes = torch.arange(margins.shape[1] + 1, device=y.device)
    others = (classes - (classes > y[:, None]).long()).clamp(max=margins.shape[1] - 1)
    return torch.where(classes == y[:, None], 0.0, -margins.gather(1, others))
