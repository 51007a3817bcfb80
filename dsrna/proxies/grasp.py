"""GraSP, the preservation of gradient flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import gradients, weighted_layers, weights_of


class Grasp(Proxy):
    """-sum W * (H g) over all weights of convolutions and linear layers, g = dL/dW, H the Hessian of L.

    L is the mean cross-entropy. BatchNorm makes gradients scale with 1 / W, which is why this correlates with little.

    Cost: a forward pass, a backward pass, and a double backward pass. Source: Wang, Zhang, Grosse, GraSP, ICLR 2020,
    eq. 8; sign as in Abdelfattah et al., ICLR 2021.
    """

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        weights = weights_of(weighted_layers(model))
        loss = F.cross_entropy(model(x), y)
        slopes = gradients(loss, weights, create_graph=True)
        product = torch.stack([(g.detach() * g).sum() for g in slopes]).sum()
        curved = gradients(product, weights)
        return -torch.stack([(w * c).sum() for w, c in zip(weights, curved, strict=True)]).sum()
