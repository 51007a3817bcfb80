"""GDAS."""

from __future__ import annotations

import torch
from torch import Tensor

from dsrna.strategies.snas import Snas, SnasArchitecture


class GdasArchitecture(SnasArchitecture):
    """One operation an edge, drawn with the probabilities softmax(alphas); the gradient is that of the soft sample.

    With s the soft sample of :class:`dsrna.strategies.snas.SnasArchitecture`, forward gives one_hot(argmax s), and its
    derivative in the alphas is that of s (straight-through). Expected: p.
    """

    one_hot = True

    def relaxed(self, cell_type: str) -> Tensor:
        """See :class:`dsrna.strategies.alphas.AlphaArchitecture`."""
        soft = super().relaxed(cell_type)
        if not self.has_drawn:
            return soft
        hard = torch.zeros_like(soft).scatter(1, soft.argmax(dim=1, keepdim=True), 1.0)
        return hard + (soft - soft.detach())


class Gdas(Snas):
    """Samples one operation an edge and step by Gumbel-max, with straight-through gradients.

    Args and errors as of :class:`dsrna.strategies.snas.Snas`, with other temperatures.

    Source: Dong and Yang, GDAS (CVPR 2019); temperatures as in the released code. Differs from it: there the
    operations that were not drawn are not computed, and their weights get the sum of the edge's output gradient
    instead of its product with their output; here every operation is computed, and the gradient is that of the text.
    """

    architecture = GdasArchitecture

    def __init__(
        self,
        temperature_start: float = 10.0,
        temperature_end: float = 0.1,
        init_scale: float = 1e-3,
        partial_channels: int = 1,
        edge_normalization: bool = False,
    ) -> None:
        super().__init__(temperature_start, temperature_end, init_scale, partial_channels, edge_normalization)
