"""SynFlow, the sum of the strengths of all paths."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import gradients, weighted_layers, weights_of


class SynFlow(Proxy):
    """log sum |W * dR/dW|, R the sum of the logits for an image of ones in the network with weights |W|.

    The sum runs over all convolutions and linear layers; BatchNorm is taken out, and numbers are of double precision,
    as sums reach 1e40. The logarithm doesn't change ranks. Looks at neither images nor classes.

    Cost: a forward and a backward pass of one image. Source: Tanaka et al., Pruning neural networks without any data
    by iteratively conserving synaptic flow, NeurIPS 2020; BatchNorm as in Abdelfattah et al., ICLR 2021. The
    network's normalisation layer is passed by like any other: "an image of ones" is what it gives for ``x`` = 1.
    """

    batch_norm = "removed"

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        model = model.double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.abs_()
        weights = weights_of(weighted_layers(model))
        total = model(torch.ones_like(x[:1], dtype=torch.float64)).sum()
        slopes = gradients(total, weights)
        return torch.stack([(w * g).abs().sum() for w, g in zip(weights, slopes, strict=True)]).sum().log()
