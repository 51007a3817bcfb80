"""Fisher, the sensitivity of channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import gradients, weighted_layers


class Fisher(Proxy):
    """sum_m w_m sum_c 1/(2N) sum_n (sum_hw A_nchw dL/dA_nchw)^2, A the output of convolution or linear layer m.

    L is the mean cross-entropy. w_m is the number of weights of a channel, as in the code that published values come
    from, which spreads a channel's value over all its weights before it sums; ``per_weight: false`` sets w_m = 1.

    Cost: a forward and a backward pass. Source: Turner et al., BlockSwap, ICLR 2020; Abdelfattah et al., ICLR 2021.

    Args:
        per_weight: see above.
    """

    def __init__(self, per_weight: bool = True) -> None:
        self.per_weight = per_weight

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        outputs: list[tuple[int, Tensor]] = []

        def note(layer: nn.Module, inputs: object, output: Tensor) -> None:
            outputs.append((layer.get_parameter("weight")[0].numel() if self.per_weight else 1, output))

        for layer in weighted_layers(model):
            layer.register_forward_hook(note)
        loss = F.cross_entropy(model(x), y)
        slopes = gradients(loss, [output for _, output in outputs])
        terms = [
            count * _channel_sensitivity(output.detach(), gradient)
            for (count, output), gradient in zip(outputs, slopes, strict=True)
        ]
        return torch.stack(terms).sum()


def _channel_sensitivity(output: Tensor, gradient: Tensor) -> Tensor:
    """sum_c 1/(2N) sum_n (sum_hw A dL/dA)^2 of one layer."""
    count, channels = output.shape[:2]
    products = (output * gradient).reshape(count, channels, -1).sum(dim=2)
    return products.square().sum() / (2 * count)
