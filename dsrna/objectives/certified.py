"""Certified training: the loss of the worst logits that bounds leave open."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.bounds.engines import bound_engine
from dsrna.bounds.eps_schedule import Shape
from dsrna.errors import ConfigError
from dsrna.nn.batch_statistics import normalising_by, noting_batch_statistics
from dsrna.nn.copying_start import start_as_copies
from dsrna.objectives.attacking import ramp
from dsrna.objectives.base import LossForward, Objective, Result
from dsrna.types import Threat

ENGINES = ("ibp", "crown_ibp")
TITLES = {"ibp": "IBP", "crown_ibp": "CROWN-IBP"}


class Certified(Objective):
    """Cross-entropy of the clean logits and of the worst logits in the ball.

    (1 - kappa) CE(f(x), y) + kappa CE(z, y), with z_y = 0 and z_j = -l_j, where l_j is a sound lower bound of the
    margin f_y - f_j over the ball of radius eps cut with [0, 1]. Radius and kappa grow while training goes on, both
    between the same two times. With ``engine="crown_ibp"``, l = beta * CROWN-IBP + (1 - beta) * IBP, where beta moves
    from ``beta_start`` to ``beta_end`` in that time: linear relaxation is tighter while weights are as they came, IBP
    once they are trained for it.

    In training, the bounds are those of the network that normalises by the statistics of the clean batch, and gradients
    flow through these: the running statistics lag behind, and bounds by them didn't train at all (digits, 3 DARTS
    cells: no image certified, chance accuracy). What is validated, kept and reported is the network in evaluation mode,
    whose bounds are sound for it.

    The training starts from weights of its own, see :func:`dsrna.nn.copying_start.start_as_copies`.

    Cost: IBP about 3 forward and backward passes in all; CROWN-IBP in addition one of each for every wrong class,
    while beta > 0.

    Args:
        threat: the ball that is certified.
        engine: ``"ibp"`` or ``"crown_ibp"``.
        eps_start: radius up to ``ramp_begin``.
        eps_factor: radius from ``ramp_end`` on, over the threat's; a little more than 1 may generalise better.
        ramp_begin: progress of the training in [0, 1] at which radius, kappa and beta start to move.
        ramp_end: progress at which they have arrived, in [ramp_begin, 1].
        ramp_shape: of the radius, ``"linear"`` or ``"smooth"``.
        kappa_start: weight of the worst logits' loss up to ``ramp_begin``, in [0, 1].
        kappa_end: weight from ``ramp_end`` on.
        beta_start: share of CROWN-IBP's bound up to ``ramp_begin``, in [0, 1].
        beta_end: share from ``ramp_end`` on.
        start_noise: noise of the weights at the start, >= 0; None keeps torch's own start.
        label_smoothing: see :class:`dsrna.objectives.Objective`; not in the worst logits' loss.
        auxiliary_weight: see :class:`dsrna.objectives.Objective`.

    Raises:
        ConfigError: a value is out of range.
        MissingPartError: the engine needs a package that is not installed.

    References:
        Gowal et al., On the Effectiveness of Interval Bound Propagation (2018), eq. 12; Zhang et al., Towards Stable
        and Efficient Training of Verifiably Robust Neural Networks (ICLR 2020), eq. 9.
    """

    def __init__(
        self,
        threat: Threat,
        engine: str = "ibp",
        eps_start: float = 0.0,
        eps_factor: float = 1.0,
        ramp_begin: float = 0.05,
        ramp_end: float = 0.6,
        ramp_shape: Shape = "smooth",
        kappa_start: float = 0.0,
        kappa_end: float = 0.9,
        beta_start: float = 1.0,
        beta_end: float = 0.0,
        start_noise: float | None = 0.03,
        label_smoothing: float = 0.0,
        auxiliary_weight: float = 0.4,
    ) -> None:
        super().__init__(label_smoothing, auxiliary_weight)
        shares = {"kappa_start": kappa_start, "kappa_end": kappa_end, "beta_start": beta_start, "beta_end": beta_end}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ConfigError(f"Expected `{name}` in [0, 1], got {share:g}. (conf: {name})")
        amounts = {"eps_start": eps_start, "eps_factor": eps_factor, "start_noise": start_noise or 0.0}
        for name, amount in amounts.items():
            if not 0 <= amount < math.inf:
                raise ConfigError(f"Expected `{name}` to be finite and >= 0, got {amount:g}. (conf: {name})")
        self.threat, self.engine, self.start_noise = threat, engine, start_noise
        largest = Threat(threat.norm, threat.eps * eps_factor).eps
        self.eps = ramp(eps_start, largest, ramp_begin, ramp_end, ramp_shape)
        self.kappa = ramp(kappa_start, kappa_end, ramp_begin, ramp_end)
        self.beta = ramp(beta_start, beta_end, ramp_begin, ramp_end)
        self.engines = {"ibp": bound_engine("ibp", threat.norm)}
        self.engines[engine] = bound_engine(engine, threat.norm, among=ENGINES)
        self.progress = 0.0

    @property
    def title(self) -> str:
        return f"certified training ({TITLES[self.engine]})"

    def initialise(self, model: nn.Module) -> None:
        if self.start_noise is not None:
            start_as_copies(model, self.start_noise)

    def advance(self, progress: float) -> None:
        self.progress = progress

    def result(
        self, model: nn.Module, forward: LossForward, x: Tensor, y: Tensor, generator: torch.Generator | None
    ) -> Result:
        eps, kappa = self.eps.at(self.progress), self.kappa.at(self.progress)
        with noting_batch_statistics(model) as statistics:
            outputs = forward(x)
        clean = self.cross_entropy(outputs, y)
        numbers: dict[str, float | Tensor] = {"eps": eps, "kappa": kappa}
        if kappa == 0:
            return Result(clean, outputs[0], x, numbers)
        with normalising_by(statistics):
            margins = self._margins(model, x, eps, y)
        worst = F.cross_entropy(worst_logits(margins, y), y)
        numbers |= {"loss_certified": worst.detach(), "acc_certified": (margins.amin(dim=1) > 0).float().mean()}
        return Result((1 - kappa) * clean + kappa * worst, outputs[0], x, numbers)

    def _margins(self, model: nn.Module, x: Tensor, eps: float, y: Tensor) -> Tensor:
        """(N, K - 1) lower bounds of the margins, from both engines while both count."""
        beta = self.beta.at(self.progress) if self.engine == "crown_ibp" else 0.0
        shares = {"ibp": 1 - beta, "crown_ibp": beta}
        return sum(share * self.engines[name](model, x, eps, y).lower for name, share in shares.items() if share > 0)  # type: ignore[return-value]

    @torch.no_grad()
    def certified(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """By the engine that the training ends with; in evaluation mode, at the threat's radius.

        The margin has to be above what rounding can change, see :meth:`~dsrna.bounds.engine.BoundEngine.allowing_for`.
        """
        engine = self.engines["ibp" if self.beta.end == 0 else self.engine].allowing_for(x.dtype)
        least = engine(model, x, self.threat.eps, y).lower.amin(dim=1)
        return (least > 0) & least.isfinite()


def worst_logits(margins: Tensor, y: Tensor) -> Tensor:
    """Logits with 0 for the true class and -l_j for the others, whose cross-entropy bounds that of the whole ball.

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
