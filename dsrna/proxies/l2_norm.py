"""The norm of the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import weighted_layers, weights_of


class L2Norm(Proxy):
    """sum_m ||W_m||_2 over all convolutions and linear layers. Looks at neither images nor classes.

    Source: Abdelfattah et al., ICLR 2021.
    """

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.stack([weight.norm() for weight in weights_of(weighted_layers(model))]).sum()
