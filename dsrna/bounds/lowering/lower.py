"""From a network to an equal one of sound operations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from dsrna.bounds.lowering.graph import Graph
from dsrna.bounds.lowering.lowered_network import LoweredNetwork
from dsrna.bounds.lowering.operation_weight import symbolic_weights
from dsrna.bounds.lowering.plain import plain
from dsrna.bounds.lowering.symbol import Sources, Symbol
from dsrna.bounds.place import naming_the_module
from dsrna.errors import NonFiniteError, UnsupportedError
from dsrna.nn.modes import evaluation_mode
from dsrna.types import OperationWeights


def lower(
    network: nn.Module,
    x: Tensor,
    operation_weights: Callable[[], OperationWeights] | None = None,
    *,
    without_concat: bool = False,
) -> LoweredNetwork:
    """A network that equals a given one in evaluation mode, up to rounding, made only of sound operations.

    The network's own forward is run once on a symbol; so this works for any network of supported operations. What it
    is made of: dense convolutions without groups or dilation (BatchNorm, operation weights, 1 x 1 convolutions,
    slices and strides are folded into them), linear layers, ReLU, sums, products with constants, concatenation,
    flattening. Average pooling becomes a fixed convolution times a mask, max pooling a chain of a + ReLU(b - a).

    The network's modes, weights and buffers are left as they are.

    Args:
        network: maps (N, C, H, W) to logits (N, K). With ``operation_weights``, a supernet that maps images and
            operation weights to logits. A relaxed supernet, i.e. a module with a ``supernet`` and
            ``operation_weights()``, is taken apart into these two.
        x: (N, C, H, W) images; their shape, dtype and device are those of images to come, and on them the lowered
            network is compared with the network itself.
        operation_weights: gives the current operation weights of a supernet.
        without_concat: neither concatenation nor products with constants, see :mod:`dsrna.bounds.lowering.plain`.

    Returns:
        The lowered network, whose values can follow the network's, see :class:`LoweredNetwork`.

    Raises:
        UnsupportedError: an operation can't be lowered (the message names its place in the network), or the networks
            differ on ``x``.
        NonFiniteError: a logit on ``x`` is NaN or infinite.
    """
    with evaluation_mode(network), naming_the_module(network):
        if operation_weights is None and hasattr(network, "supernet") and hasattr(network, "operation_weights"):
            supernet, weights = cast(nn.Module, network.supernet), cast(Any, network.operation_weights)
            lowered = _traced(supernet, x, weights, without_concat)
        else:
            lowered = _traced(network, x, operation_weights, without_concat)
        _check_equal(lowered, network, x, operation_weights)
    return lowered


def _traced(
    network: nn.Module, x: Tensor, operation_weights: Callable[[], OperationWeights] | None, without_concat: bool
) -> LoweredNetwork:
    graph = Graph(like=x.new_empty(0))
    image = Symbol(graph, _sources(network), graph.input(tuple(x.shape[1:])))
    weights = () if operation_weights is None else (symbolic_weights(operation_weights()),)
    logits = network(image, *weights)
    if not isinstance(logits, Symbol):
        raise UnsupportedError(f"Expected a network that gives logits (N, K), got {type(logits).__name__}.")
    output = logits.resolve()
    if without_concat:
        output, graph = plain(output, graph)
    return LoweredNetwork(graph, output, operation_weights)


@torch.no_grad()
def _check_equal(
    lowered: LoweredNetwork, network: nn.Module, x: Tensor, operation_weights: Callable[[], OperationWeights] | None
) -> None:
    """Guards against a forward that does something else with symbols than with numbers."""
    expected = network(x) if operation_weights is None else network(x, operation_weights())
    if not bool(expected.isfinite().all()):
        raise NonFiniteError("The network that is to be bounded gives logits that are NaN or infinite.")
    difference = (lowered(x) - expected).abs().max().item()
    if not difference <= 1e4 * torch.finfo(x.dtype).eps * lowered.magnitudes(x).max().item():
        raise UnsupportedError(
            f"Expected a lowered network with the outputs of the network itself, got a difference of {difference:.3g}: "
            "its forward seems to depend on the values that it sees, or has in-place changes of views. "
            "It can't be bounded by linear relaxation."
        )


def _sources(network: nn.Module) -> Sources:
    """How to get each parameter and buffer again, by its owner's attribute, as moving a network makes new tensors."""
    sources: dict[int, Callable[[], Tensor]] = {}
    for module in network.modules():
        named = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        for name, tensor in named:
            sources[id(tensor)] = partial(getattr, module, name)
    return sources
