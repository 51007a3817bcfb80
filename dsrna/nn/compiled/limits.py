"""What the compiled kernels leave to the textbook implementation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dsrna.errors import UnsupportedError
from dsrna.nn.compiled.bank import NAMES
from dsrna.nn.compiled.library import KernelsUnavailableError, library
from dsrna.nn.plain_call import why_not_plain
from dsrna.types import CellWeights

if TYPE_CHECKING:
    from dsrna.nn.mixed_edges import MixedEdges


def why_textbook(edges: MixedEdges, inputs: Sequence[Tensor], weights: CellWeights) -> str | None:
    """Why this call has to take the textbook implementation, or None where the kernels compute the same.

    Args:
        edges: the edges of a cell.
        inputs: the cell's input nodes.
        weights: operation and edge weights.
    """
    return why_never(edges) or _about_call(inputs, weights) or _about_modules(edges, inputs[0])


def why_never(edges: MixedEdges) -> str | None:
    """Why the kernels can't serve these edges, whatever the call, or None.

    Args:
        edges: the edges of a cell.
    """
    try:
        library()
        edges.banks()
    except (KernelsUnavailableError, UnsupportedError) as error:
        return str(error)
    return None


def _about_call(inputs: Sequence[Tensor], weights: CellWeights) -> str | None:
    tensors = [*inputs, weights.operations, *([] if weights.edges is None else [weights.edges])]
    if (reason := why_not_plain(*tensors)) is not None:
        return reason
    if inputs[0].dtype not in NAMES or any(t.dtype != inputs[0].dtype for t in tensors):
        return "the precision is neither float32 nor float64"
    if inputs[0].numel() == 0:
        return "the batch is empty"
    return None


def _about_modules(edges: MixedEdges, x: Tensor) -> str | None:
    if torch.nn.modules.module._has_any_global_hook():
        return "hooks on all modules"
    banks = list(edges.banks().values())
    norms = [norm for bank in banks for norm in bank.norms]
    if norms:
        first = norms[0]
        for norm in norms:
            alike = (norm.training, norm.track_running_stats, norm.momentum, norm.eps)
            if alike != (first.training, first.track_running_stats, first.momentum, first.eps):
                return "BatchNorm layers differ in mode, momentum or eps"
            if norm.affine or norm.running_mean is None or norm.running_var is None:
                return "BatchNorm layers with a scale, or without running statistics"
            if norm.running_mean.requires_grad or norm.running_var.requires_grad:
                return "running statistics that are differentiated"
        if first.training and x.shape[0] * -(-x.shape[2] // 2) * -(-x.shape[3] // 2) == 1:
            return "one value a channel, which BatchNorm refuses"
        if first.training and first.track_running_stats and first.momentum is None:
            return "running statistics that average over all batches"
    for bank in banks:
        if any(_hooked(module) for module in bank.modules):
            return "hooks on modules"
        parameters = bank.parameters
        if (reason := why_not_plain(*parameters)) is not None:
            return f"network weights: {reason}"
        if any(parameter.dtype != x.dtype for parameter in parameters):
            return "network weights of another precision than the images"
    return None


def _hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )
