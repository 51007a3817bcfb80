"""SNAS."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from dsrna.errors import ConfigError
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.alphas import AlphaArchitecture, AlphaStrategy
from dsrna.strategies.gumbel import gumbel_noise


class SnasArchitecture(AlphaArchitecture):
    """A sample of the concrete distribution on every edge, which a falling temperature turns into one operation.

    With p = softmax(alphas) and g standard Gumbel noise of the step: softmax((log p + g) / tau). Expected: p, which is
    what the sample becomes on average as tau goes to 0.
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

    @property
    def has_drawn(self) -> bool:
        """Whether a step has begun."""
        return bool(self._noise)

    def begin_step(self, progress: float, generator: torch.Generator) -> None:
        """See :class:`dsrna.strategies.architecture.Architecture`."""
        first, last = self._range
        self._temperature = first + (last - first) * progress
        self._noise = {cell_type: gumbel_noise(alphas, generator) for cell_type, alphas in self.alphas.items()}

    def relaxed(self, cell_type: str) -> Tensor:
        """See :class:`dsrna.strategies.alphas.AlphaArchitecture`."""
        if not self.has_drawn:
            return self.relaxed_expected(cell_type)
        chances = self.logits(cell_type).log_softmax(dim=1)
        return ((chances + self._noise[cell_type]) / self._temperature).softmax(dim=1)


class Snas(AlphaStrategy):
    """Samples soft operation weights on every edge and step, by Gumbel noise and a softmax with a temperature.

    Args:
        temperature_start: tau of the first step, > 0.
        temperature_end: tau that the last step arrives at, > 0; linear in between.
        init_scale, partial_channels, edge_normalization: see :class:`dsrna.strategies.alphas.AlphaStrategy`.

    Raises:
        ConfigError: a value is out of range.

    Source: Xie, Zheng, Liu, Lin, SNAS (ICLR 2019): the concrete distribution of section 2.2. Differs from it: alphas
    and network weights are trained on halves of the images in turn, as with every strategy here, where SNAS trains
    both on the same loss, with a cost term; the temperature falls linearly.
    """

    architecture: ClassVar[type[SnasArchitecture]] = SnasArchitecture

    def __init__(
        self,
        temperature_start: float = 1.0,
        temperature_end: float = 0.03,
        init_scale: float = 1e-3,
        partial_channels: int = 1,
        edge_normalization: bool = False,
    ) -> None:
        super().__init__(init_scale, partial_channels, edge_normalization)
        for name, value in (("temperature_start", temperature_start), ("temperature_end", temperature_end)):
            if not 0 < value < math.inf:
                raise ConfigError(f"Expected a finite `{name}` > 0, got {value}. (conf: strategy.{name})")
        self.temperature = (temperature_start, temperature_end)

    def initial(self, space: SearchSpace, generator: torch.Generator | None = None) -> SnasArchitecture:
        """See :meth:`dsrna.strategies.strategy.Strategy.initial`."""
        return self.architecture(space, self.init_scale, self.edge_normalization, generator, self.temperature)
