"""The norm of the loss gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import loss_gradients, weighted_layers, weights_of


class GradNorm(Proxy):
    """sum_m ||dL/dW_m||_2 over all convolutions and linear layers, L the mean cross-entropy.

    Cost: a forward and a backward pass. Source: Abdelfattah et al., Zero-cost proxies for lightweight NAS, ICLR 2021.
    """

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        gradients = loss_gradients(model, x, y, weights_of(weighted_layers(model)))
        return torch.stack([gradient.norm() for gradient in gradients]).sum()
