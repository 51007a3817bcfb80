"""Which calls of a supernet's edges the faster implementations leave to the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from dsrna.errors import UnsupportedError
from dsrna.nn.edges.compiled.compiled_edges import NAMES
from dsrna.nn.edges.compiled.library import KernelsUnavailableError, library
from dsrna.nn.plain_call import why_not_plain, why_watched
from dsrna.types import CellWeights

if TYPE_CHECKING:
    from dsrna.nn.edges.mixed_edges import MixedEdges

Fast = Literal["compiled", "batched"]
"""Implementations that compute the edges of a node together, the faster one first."""


def why_not(kind: Fast, edges: MixedEdges, inputs: Sequence[Tensor], weights: CellWeights) -> str | None:
    """Why an implementation can't serve this call, or None where it computes what the modules do.

    Args:
        kind: the implementation.
        edges: the edges of a cell.
        inputs: the cell's input nodes.
        weights: operation and edge weights.
    """
    return why_never(kind, edges) or _about_call(kind, inputs, weights) or _about_modules(kind, edges, inputs[0])


def why_never(kind: Fast, edges: MixedEdges) -> str | None:
    """Why an implementation can't serve these edges, whatever the call, or None.

    Args:
        kind: the implementation.
        edges: the edges of a cell.
    """
    try:
        if kind == "compiled":
            library()
        edges.fused(kind)
    except (KernelsUnavailableError, UnsupportedError) as error:
        return str(error)
    return None


def _objection(kind: Fast) -> Callable[..., str | None]:
    return why_not_plain if kind == "compiled" else why_watched


def _about_call(kind: Fast, inputs: Sequence[Tensor], weights: CellWeights) -> str | None:
    tensors = [*inputs, weights.operations, *([] if weights.edges is None else [weights.edges])]
    if (reason := _objection(kind)(*tensors)) is not None:
        return reason
    if kind == "compiled" and (inputs[0].dtype not in NAMES or any(t.dtype != inputs[0].dtype for t in tensors)):
        return "the precision is neither float32 nor float64"
    if inputs[0].numel() == 0:
        return "the batch is empty"
    return None


def _about_modules(kind: Fast, edges: MixedEdges, x: Tensor) -> str | None:
    if torch.nn.modules.module._has_any_global_hook():
        return "hooks on all modules"
    fused_edges = list(edges.fused(kind).values())
    if (reason := _about_norms([norm for fused in fused_edges for norm in fused.norms], x)) is not None:
        return reason
    for fused in fused_edges:
        if any(fused.hooks):
            return "hooks on modules"
        parameters = fused.parameters
        if (reason := _objection(kind)(*parameters)) is not None:
            return f"network weights: {reason}"
        if kind == "compiled" and any(parameter.dtype != x.dtype for parameter in parameters):
            return "network weights of another precision than the images"
    return None


def _about_norms(norms: Sequence[nn.BatchNorm2d], x: Tensor) -> str | None:
    if not norms:
        return None
    first = norms[0]
    if len({(norm.training, norm.track_running_stats, norm.momentum, norm.eps, norm.affine) for norm in norms}) > 1:
        return "BatchNorm layers differ in mode, momentum or eps"
    if first.affine:
        return "BatchNorm layers with a scale"
    for norm in norms:
        buffers = norm._buffers
        mean, variance = buffers["running_mean"], buffers["running_var"]
        if mean is None or variance is None:
            return "BatchNorm layers without running statistics"
        if mean.requires_grad or variance.requires_grad:
            return "running statistics that are differentiated"
    if first.training and x.shape[0] * -(-x.shape[2] // 2) * -(-x.shape[3] // 2) == 1:
        return "one value a channel, which BatchNorm refuses"
    if first.training and first.track_running_stats and first.momentum is None:
        return "running statistics that average over all batches"
    return None
