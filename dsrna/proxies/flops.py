"""The number of operations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.proxies.base import Proxy
from dsrna.proxies.layers import weighted_layers


class Flops(Proxy):
    """Multiplications with additions of all convolutions and linear layers for one image. Looks at no classes.

    Published tables count BatchNorm, pooling and additions as well, a few per cent more.

    Cost: a forward pass.
    """

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> float:
        operations = 0

        def count(layer: nn.Module, inputs: object, output: Tensor) -> None:
            nonlocal operations
            operations += output[0].numel() * layer.get_parameter("weight")[0].numel()

        for layer in weighted_layers(model):
            layer.register_forward_hook(count)
        with torch.no_grad():
            model.eval()(x[:1])
        return float(operations)
