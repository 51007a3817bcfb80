"""How probable it is that the Lipschitz constant stays below a bound."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dsrna.bounds.lipschitz import LipschitzGain
from dsrna.bounds.place import naming_the_module
from dsrna.errors import ConfigError
from dsrna.metrics.base import RobustnessMetric
from dsrna.types import Norm


class LipschitzConfidence(RobustnessMetric):
    """R = ln P(L <= bound), L a bound on the network's Lipschitz constant with log-normal operation weights.

    RACL's confidence, as its logarithm, whose derivative doesn't vanish where the confidence is small. At most 0, and
    the same for every image. L comes from the operator norms of all layers, multiplied along ways and added over them,
    see :class:`~dsrna.bounds.lipschitz.LipschitzGain`: no estimate of how far logits move, but an order of networks. A
    network that ignores its input has L = 0, the best there is.

    Cost: one forward pass of a single image, and for the derivative a backward pass.

    Args:
        norm: of images and logits, ``"linf"`` or ``"l2"``.
        bound: on L, in logit units per [0, 1] pixel unit, > 0; None takes the median of L of the first network that is
            scored, so that a search's confidence begins at one half.
        spread: standard deviation of the logarithm of each operation weight, > 0.

    Raises:
        ConfigError: a value is out of range.
        UnsupportedError: the network has an operation whose constant isn't known.

    Source: Dong et al., Adversarially Robust Neural Architectures (2020, RACL), which asks for a confidence of at least
    .9. Differs: there the means and covariances of log-normal alphas are searched, with a constraint on the confidence,
    and a floor keeps gradients from vanishing; here each operation weight is the median of one with a fixed spread.
    """

    rewards_ignoring_the_input = True
    looks_at_images = False

    def __init__(self, norm: Norm = "linf", bound: float | None = None, spread: float = 0.5) -> None:
        super().__init__("running")
        if norm not in ("linf", "l2"):
            raise ConfigError(f"Expected `norm` to be 'linf' or 'l2', got {norm!r}. (conf: norm)")
        for name, value in (("bound", bound), ("spread", spread)):
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"Expected `{name}` > 0, got {value:g}. (conf: {name})")
        self.norm: Norm = norm
        self.spread = spread
        self._log_bound = None if bound is None else math.log(bound)

    @property
    def numbers(self) -> dict[str, float]:
        """The bound's logarithm, once it is known."""
        return {} if self._log_bound is None else {"log_bound": self._log_bound}

    def restore(self, numbers: dict[str, float]) -> None:
        """See :meth:`RobustnessMetric.restore`."""
        self._log_bound = numbers.get("log_bound", self._log_bound)

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """See the class. Images and classes aren't looked at."""
        with naming_the_module(model):
            gain: LipschitzGain = model(LipschitzGain.of_images(x, self.norm, self.spread))
        if self._log_bound is None and bool(gain.log_mean.isfinite()):
            self._log_bound = gain.log_mean.item()
        room = (0.0 if self._log_bound is None else self._log_bound) - gain.log_mean
        return torch.special.log_ndtr(room / (gain.log_variance + gain.own).sqrt()).expand(len(x))
