"""The layers that proxies look at, convolutions and linear layers, and gradients to their weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.errors import UnsupportedError


def weighted_layers(model: nn.Module) -> list[nn.Module]:
    """All convolutions and linear layers, in the order of the modules.

    Raises:
        UnsupportedError: there are none.
    """
    layers: list[nn.Module] = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    if not layers:
        raise UnsupportedError(
            f"Expected a network with convolutions or linear layers, got {type(model).__name__} without any."
        )
    return layers


def weights_of(layers: Sequence[nn.Module]) -> list[Tensor]:
    """The layers' weights, without biases."""
    return [layer.get_parameter("weight") for layer in layers]


def gradients(output: Tensor, inputs: Sequence[Tensor], create_graph: bool = False) -> list[Tensor]:
    """Gradients of a scalar; zeros for those ``inputs`` that it doesn't depend on."""
    found = torch.autograd.grad(
        output, list(inputs), create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
    return list(found)


def loss_gradients(model: nn.Module, x: Tensor, y: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of the mean cross-entropy to ``weights``."""
    return gradients(F.cross_entropy(model(x), y), weights)
