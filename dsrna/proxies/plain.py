"""The signed connection sensitivity."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import loss_gradients, weighted_layers, weights_of


class Plain(Proxy):
    """sum W * dL/dW over all weights of convolutions and linear layers, L the mean cross-entropy.

    BatchNorm makes the loss invariant to the scale of the weights before it, for which <W, dL/dW> = 0: what is left
    comes from the layers without BatchNorm after them.

    Cost: a forward and a backward pass. Source: Abdelfattah et al., ICLR 2021.
    """

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        weights = weights_of(weighted_layers(model))
        gradients = loss_gradients(model, x, y, weights)
        return torch.stack([(w * g).sum() for w, g in zip(weights, gradients, strict=True)]).sum()
