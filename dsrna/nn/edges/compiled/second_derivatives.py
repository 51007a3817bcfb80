"""The compiled kernels' mathematics once more, by torch's operations, for derivatives of derivatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrna.nn.factorized_reduce import FactorizedReduce, pixels_of_both_halves
from dsrna.nn.operations import Zero


def differentiable_gradients(
    operations: Sequence[Sequence[nn.Module]],
    inputs: Sequence[Tensor],
    statistics: tuple[Tensor, Tensor] | None,
    gradients: Sequence[Tensor | None],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of the kernels' maps as functions that can be differentiated: of the same maps, computed anew.

    The modules' own weights, training flags and running statistics may have changed since the first pass; none of them
    is looked at or changed.

    Args:
        operations: of each edge; give the structure.
        inputs: x (N, C, H, W), operation weights (E, O), and every convolution's weight, in the order of the modules.
        statistics: means and variances (BatchNorms, C) to normalise by, in the order of the modules; None: the batch's.
        gradients: in each edge's map, or None.
        wanted: of which inputs a gradient is wanted.

    Returns:
        The gradient in each input, or None.
    """
    pairs = [
        (output, gradient)
        for output, gradient in zip(_outputs(operations, *inputs, statistics=statistics), gradients, strict=True)
        if gradient is not None
    ]
    found = iter(
        torch.autograd.grad(
            [output for output, _ in pairs],
            [each for each, needed in zip(inputs, wanted, strict=True) if needed],
            [gradient for _, gradient in pairs],
            create_graph=True,
            allow_unused=True,
        )
    )
    return [next(found) if needed else None for needed in wanted]


def _outputs(
    operations: Sequence[Sequence[nn.Module]],
    x: Tensor,
    weights: Tensor,
    *parameters: Tensor,
    statistics: tuple[Tensor, Tensor] | None,
) -> list[Tensor]:
    """outputs_e = sum_o w_eo o_e(x), as the modules compute it, but with everything given."""
    take = iter(parameters)
    normalise = _normalisers(statistics)
    return [
        torch.stack(
            [
                weight * _operation(operation, x, take, normalise)
                for weight, operation in zip(weights_of_edge.unbind(), of_edge, strict=True)
            ]
        ).sum(dim=0)
        for of_edge, weights_of_edge in zip(operations, weights.unbind(), strict=True)
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
