"""The number of parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.proxies.base import Proxy


class Parameters(Proxy):
    """The number of parameters. Looks at neither images nor classes."""

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> float:
        return float(sum(parameter.numel() for parameter in model.parameters()))
