"""The number of operations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.functional.multiply_adds import multiply_adds
from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import weighted_layers


class Flops(Proxy):
    """Multiplications with additions of all convolutions and linear layers for one image. Looks at no classes.

    Published tables count BatchNorm, pooling and additions as well, a few per cent more.

    Cost: a forward pass.
    """

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> float:
        weighted_layers(model)  # refuses a network without any
        return float(multiply_adds(model.eval(), x[:1]))
