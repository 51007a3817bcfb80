"""The compiled kernels' mathematics once more, by torch's operations, for derivatives of derivatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrna.nn.edges.mixed_operation import MixedOperation
from dsrna.nn.factorized_reduce import FactorizedReduce, pixels_of_both_halves
from dsrna.nn.operations import Zero


def replay(
    edges: Sequence[MixedOperation],
    x: Tensor,
    weights: Tensor,
    parameters: Sequence[Tensor],
    statistics: tuple[Tensor, Tensor] | None,
) -> list[Tensor]:
    """outputs_e = sum_o w_eo o_e(x), as the edges' modules compute it, but with everything given.

    The modules' own weights, training flags and running statistics may have changed since the first pass; none of them
    is looked at or changed.

    Args:
        edges: give the operations' structure.
        x: (N, C, H, W).
        weights: (E, O).
        parameters: every convolution's weight, in the order of the modules.
        statistics: means and variances (BatchNorms, C) to normalise by, in the order of the modules; None: the batch's.

    Returns:
        E maps.
    """
    take = iter(parameters)
    normalise = _normalisers(statistics)
    return [
        torch.stack(
            [
                weight * _operation(operation, x, take, normalise)
                for weight, operation in zip(of_edge.unbind(), edge.operations, strict=True)
            ]
        ).sum(dim=0)
        for edge, of_edge in zip(edges, weights.unbind(), strict=True)
    ]


def _operation(
    operation: nn.Module, x: Tensor, take: Iterator[Tensor], normalise: Iterator[tuple[Tensor, Tensor] | None]
) -> Tensor:
    if isinstance(operation, Zero | nn.Identity | nn.ReLU | nn.MaxPool2d | nn.AvgPool2d):
        return operation(x)
    if isinstance(operation, nn.BatchNorm2d):
        return _normalised(x, operation, next(normalise))
    if isinstance(operation, nn.Conv2d):
        return F.conv2d(x, next(take), None, operation.stride, operation.padding, operation.dilation, operation.groups)
    if isinstance(operation, FactorizedReduce):
        even, odd = pixels_of_both_halves(F.relu(x))
        both = torch.cat([F.conv2d(even, next(take)), F.conv2d(odd, next(take))], dim=1)
        return _normalised(both, operation.norm, next(normalise))
    for part in operation.children():
        x = _operation(part, x, take, normalise)
    return x


def _normalised(x: Tensor, norm: nn.BatchNorm2d, statistics: tuple[Tensor, Tensor] | None) -> Tensor:
    if statistics is None:
        return F.batch_norm(x, None, None, training=True, eps=norm.eps)
    mean, variance = statistics
    return F.batch_norm(x, mean, variance, training=False, eps=norm.eps)


def _normalisers(statistics: tuple[Tensor, Tensor] | None) -> Iterator[tuple[Tensor, Tensor] | None]:
    if statistics is None:
        while True:
            yield None
    yield from zip(*statistics, strict=True)
