"""How a robustness metric joins the loss of the architecture step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from dsrna.errors import ConfigError


class MetricJoin(ABC):
    """Weighs two gradients in the alphas: of the loss, g_L, and of minus the metric's mean score, g_R.

    The architecture step goes down a g_L + b g_R (and the regularisers' penalties, as they are). With the unrolled
    hypergradient, a and b are found from the direct gradients in the alphas, at the weights that it looks ahead to.

    Attributes:
        numbers: of the last step, to be logged: ``gamma`` (b / a), the norms of both gradients, and the cosine of the
            angle between them, below 0 where robustness costs accuracy.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, float] = {}

    def weights(self, loss: Sequence[Tensor], metric: Sequence[Tensor], gamma: float) -> tuple[float, float]:
        """(a, b), both >= 0.

        Args:
            loss: g_L, one tensor for each of the alphas.
            metric: g_R, likewise.
            gamma: the metric's weight in this epoch, > 0.
        """
        of_loss, of_metric = (torch.cat([g.detach().flatten() for g in gradients]).double() for gradients in
                              (loss, metric))  # fmt: skip
        norms = float(of_loss.norm()), float(of_metric.norm())
        inner = float(of_loss @ of_metric)
        a, b = self.of_gradients(*norms, inner, gamma)
        cosine = inner / (norms[0] * norms[1]) if min(norms) > 0 else 0.0
        self.numbers = {"loss_gradient": norms[0], "metric_gradient": norms[1], "cosine": cosine}
        if a > 0:
            self.numbers["gamma"] = b / a
        return a, b

    @abstractmethod
    def of_gradients(self, loss: float, metric: float, inner: float, gamma: float) -> tuple[float, float]:
        """(a, b) from |g_L|, |g_R|, <g_L, g_R> and gamma."""

    def observe(self, loss: float) -> None:  # noqa: B027 - most learn nothing
        """Called after each step that joined a metric, with the loss of its images."""

    def state(self) -> dict[str, float]:
        """What it carries from step to step, for checkpoints."""
        return {}

    def load_state(self, state: dict[str, float]) -> None:  # noqa: B027 - most carry nothing
        """Takes back what :meth:`state` gave."""


class Fixed(MetricJoin):
    """g_L + gamma g_R.

    Source: Hosseini, Yang, Xie, DSRNA (CVPR 2021), eq. 16.
    """

    def of_gradients(self, loss: float, metric: float, inner: float, gamma: float) -> tuple[float, float]:
        """See :class:`MetricJoin`."""
        return 1.0, gamma


class Balanced(MetricJoin):
    """g_L + gamma (|g_L| / |g_R|) g_R: the metric's share of the step is gamma times the loss's, whatever its units."""

    def of_gradients(self, loss: float, metric: float, inner: float, gamma: float) -> tuple[float, float]:
        """See :class:`MetricJoin`."""
        return 1.0, gamma * loss / metric if metric > 0 else 0.0


class MinNorm(MetricJoin):
    """The shortest convex combination of g_L and gamma g_R: neither of the two gets worse along it, to first order.

    c g_L + (1 - c) gamma g_R with c = clip((g_2 - g_1) . g_2 / |g_2 - g_1|^2, 0, 1), g_1 = g_L, g_2 = gamma g_R. It
    favours the shorter of the two, and so depends on the metric's units, in which gamma is. Of gradients that were
    both brought to length 1 it is always their mean, c = 1/2: that is ``Balanced`` with gamma 1.

    Source: Désidéri, MGDA (2012); with two objectives as in ARNAS and E2RNAS.
    """

    def of_gradients(self, loss: float, metric: float, inner: float, gamma: float) -> tuple[float, float]:
        """See :class:`MetricJoin`."""
        square, mixed = (gamma * metric) ** 2, gamma * inner
        apart = loss**2 - 2 * mixed + square
        share = min(max((square - mixed) / apart, 0.0), 1.0) if apart > 0 else 0.5
        return share, gamma * (1 - share)


class Multiplier(MetricJoin):
    """(1 + lambda) g_L + gamma g_R, where lambda grows while the loss is above a reference.

    The Lagrangian of "the loss is no worse than the reference": after each step
    lambda <- max(0, lambda + rate * (L - reference)), from 0 on. A network that ignores its input has a loss of ln K,
    far above any useful reference, so that lambda grows until the search leaves it.

    Args:
        reference: the loss of the architecture step that is to be kept, > 0; such as the one at which the same search
            without a metric ends (``search/val/loss`` of its record).
        rate: > 0.

    Raises:
        ConfigError: a value is out of range.

    Source: the multiplier of NADAR (Li et al., Neural Architecture Dilation for Adversarial Robustness, NeurIPS 2021).
    """

    def __init__(self, reference: float | None, rate: float = 0.01) -> None:
        super().__init__()
        for name, value in (("reference", reference), ("rate", rate)):
            if value is None or not 0 < value < math.inf:
                raise ConfigError(
                    f"Expected a number > 0, got {value}"
                    + ("; take the search/val/loss at which the same search without a metric ends." * (value is None))
                    + f" (conf: {name})"
                )
        self.reference, self.rate, self.multiplier = float(reference or 0.0), rate, 0.0

    def of_gradients(self, loss: float, metric: float, inner: float, gamma: float) -> tuple[float, float]:
        """See :class:`MetricJoin`."""
        return 1.0 + self.multiplier, gamma

    def observe(self, loss: float) -> None:
        """See :class:`MetricJoin`."""
        self.multiplier = max(0.0, self.multiplier + self.rate * (loss - self.reference))
        self.numbers["multiplier"] = self.multiplier

    def state(self) -> dict[str, float]:
        """See :class:`MetricJoin`."""
        return {"multiplier": self.multiplier}

    def load_state(self, state: dict[str, float]) -> None:
        """See :class:`MetricJoin`."""
        self.multiplier = state["multiplier"]
