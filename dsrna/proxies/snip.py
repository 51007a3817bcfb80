"""SNIP, the connection sensitivity."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import loss_gradients, weighted_layers, weights_of


class Snip(Proxy):
    """sum |W * dL/dW| over all weights of convolutions and linear layers, L the mean cross-entropy.

    Cost: a forward and a backward pass. Source: Lee, Ajanthan, Torr, SNIP, ICLR 2019; summed over all weights by
    Abdelfattah et al., ICLR 2021.
    """

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        weights = weights_of(weighted_layers(model))
        gradients = loss_gradients(model, x, y, weights)
        return torch.stack([(w * g).abs().sum() for w, g in zip(weights, gradients, strict=True)]).sum()
