"""GDAS."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dsrna.errors import ConfigError
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.alphas import AlphaArchitecture, AlphaStrategy
from dsrna.strategies.gumbel import gumbel_noise


class GdasArchitecture(AlphaArchitecture):
    """One operation an edge, drawn with the probabilities softmax(alphas); the gradient is that of the soft sample.

    With g standard Gumbel noise of the step and s = softmax((log p + g) / tau), forward gives one_hot(argmax s), and
    its derivative in the alphas is that of s (straight-through). Expected: p.
    """

    def __init__(
        self,
        space: SearchSpace,
        init_scale: float,
        edge_normalization: bool,
        generator: torch.Generator | None,
        temperature: tuple[float, float],
    ) -> None:
        super().__init__(space, init_scale, edge_normalization, generator)
        self._range, self._temperature = temperature, temperature[0]
        self._noise: dict[str, Tensor] = {}

    def begin_step(self, progress: float, generator: torch.Generator) -> None:
        """See :class:`dsrna.strategies.architecture.Architecture`."""
        first, last = self._range
        self._temperature = first + (last - first) * progress
        self._noise = {cell_type: gumbel_noise(alphas, generator) for cell_type, alphas in self.alphas.items()}

    def relaxed(self, cell_type: str) -> Tensor:
        """See :class:`dsrna.strategies.alphas.AlphaArchitecture`."""
        if not self._noise:
            return self.relaxed_expected(cell_type)
        chances = self.logits(cell_type).log_softmax(dim=1)
        soft = ((chances + self._noise[cell_type]) / self._temperature).softmax(dim=1)
        hard = torch.zeros_like(soft).scatter(1, soft.argmax(dim=1, keepdim=True), 1.0)
        return hard + (soft - soft.detach())


class Gdas(AlphaStrategy):
    """Samples one operation an edge and step by Gumbel-max, with straight-through gradients.

    Args:
        temperature_start: tau of the first step, > 0.
        temperature_end: tau that the last step arrives at, > 0; linear in between.
        init_scale, partial_channels, edge_normalization: see :class:`dsrna.strategies.alphas.AlphaStrategy`.

    Raises:
        ConfigError: a value is out of range.

    Source: Dong and Yang, GDAS (CVPR 2019), eqs. 3-6; temperatures as in the released code. Differs from it: there the
    operations that were not drawn are not computed, and their weights get the sum of the edge's output gradient
    instead of its product with their output; here every operation is computed, and the gradient is that of the text.
    """

    def __init__(
        self,
        temperature_start: float = 10.0,
        temperature_end: float = 0.1,
        init_scale: float = 1e-3,
        partial_channels: int = 1,
        edge_normalization: bool = False,
    ) -> None:
        super().__init__(init_scale, partial_channels, edge_normalization)
        for name, value in (("temperature_start", temperature_start), ("temperature_end", temperature_end)):
            if not 0 < value < math.inf:
                raise ConfigError(f"Expected a finite `{name}` > 0, got {value}. (conf: strategy.{name})")
        self.temperature = (temperature_start, temperature_end)

    def initial(self, space: SearchSpace, generator: torch.Generator | None = None) -> GdasArchitecture:
        """See :meth:`dsrna.strategies.strategy.Strategy.initial`."""
        return GdasArchitecture(space, self.init_scale, self.edge_normalization, generator, self.temperature)
