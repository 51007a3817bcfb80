"""All edges that leave one node of a supernet's cell, an operation at a time for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.nn.average_pool import AveragePool2d
from dsrna.nn.depthwise_conv import DepthwiseConv2d, depthwise_conv
from dsrna.nn.edges.fused_edges import FusedEdges
from dsrna.nn.edges.mixed_operation import MixedOperation
from dsrna.nn.factorized_reduce import FactorizedReduce, pixels_of_both_halves
from dsrna.nn.operations import Zero

_LINKS = {nn.ReLU, nn.Conv2d, DepthwiseConv2d, nn.BatchNorm2d}
"""What a chain of convolutions is made of."""


class BatchedEdges(FusedEdges):
    """outputs_e = sum_o w_eo o_e(x) by torch's operations, with the edges side by side as groups of channels.

    The same convolution of all edges is one convolution of E C channels. What all edges have in common is computed
    once: the rectified input, and while training a pooling with its BatchNorm. An operation's weight is the scale of
    its last BatchNorm. Every device and precision, and differentiable as often as torch's operations are.

    Args:
        edges: see :class:`FusedEdges`.
    """

    def __init__(self, edges: Sequence[MixedOperation]) -> None:
        super().__init__(edges)
        self.columns = list(zip(*self.operations, strict=True))
        for alike in self.columns:
            modules = list(chain(*zip(*(operation.modules() for operation in alike), strict=True)))
            self.norms.extend(module for module in modules if isinstance(module, nn.BatchNorm2d))
            self.convolutions.extend(module for module in modules if isinstance(module, nn.Conv2d))

    @staticmethod
    def knows(operations: Sequence[nn.Module]) -> list[bool]:
        """All, if they differ by their weights alone and are made as those of the search spaces are; else none."""
        alike = len({_structure(operation) for operation in operations}) == 1
        return [alike and _has_batched_form(operations[0])] * len(operations)

    def __call__(self, x: Tensor, weights: Tensor) -> list[Tensor]:
        """See :class:`FusedEdges`."""
        call = _Call(self, x)
        separate, common, of_common = [], [], []
        for operations, of_edges in zip(self.columns, weights.unbind(1), strict=True):
            if isinstance(operations[0], Zero):
                continue
            output, weighted = call.output(operations, of_edges)
            if weighted:
                separate.append(output)
            else:
                common.append(output)
                of_common.append(of_edges)
        call.track()
        outputs: list[Tensor] = []
        if separate:
            outputs = list(sum(separate[1:], start=separate[0]).unflatten(1, (len(self.edges), -1)).unbind(1))
        if common:
            mixtures = _mixtures(common, torch.stack(of_common, dim=1))
            outputs = [a + b for a, b in zip(outputs, mixtures, strict=True)] if outputs else mixtures
        return outputs


class _Call:
    """One call: its parts in the order of the operations."""

    def __init__(self, fused: BatchedEdges, x: Tensor) -> None:
        self.fused, self.x, self.edges = fused, x, len(fused.edges)
        self.rectified = F.relu(x)
        self.repeated: Tensor | None = None
        self.next_weight = self.next_norm = 0
        self.common: list[int] = []  # rows of the statistics that were computed once for all edges
        if not fused.norms:
            return
        rows, channels = len(fused.norms) // self.edges, fused.norms[0].num_features
        if fused.training:  # with a momentum of 1, BatchNorm leaves the batch's statistics here
            like = cast(Tensor, fused.norms[0].running_mean)
            self.means, self.variances = like.new_zeros(2, rows, self.edges, channels)
        else:
            self.means, self.variances = (values.unflatten(0, (rows, self.edges)) for values in fused.running())

    def output(self, operations: Sequence[nn.Module], weights: Tensor) -> tuple[Tensor, bool]:
        """The operations' outputs, times the edges' weights (N, E C, H, W); or what they have in common (N, C, H, W).

        Returns:
            The outputs, and whether they are the former.
        """
        first = operations[0]
        if isinstance(first, nn.Identity):
            return self.x, False
        if isinstance(first, FactorizedReduce):
            return self._norm(self._reduced(), weights), True
        *links, norm = cast(nn.Sequential, first)
        assert isinstance(norm, nn.BatchNorm2d)
        if isinstance(links[0], nn.MaxPool2d | nn.AvgPool2d):
            return self._pooled(links[0], weights)
        z, each = self.rectified, False
        for link in links[1:]:
            if isinstance(link, nn.ReLU):
                z = F.relu(z)
            elif isinstance(link, nn.BatchNorm2d):
                z = self._norm(z, None)
            else:
                z, each = self._convolved(cast(nn.Conv2d, link), z, each), True
        return self._norm(z, weights), True

    def _pooled(self, pooling: nn.Module, weights: Tensor) -> tuple[Tensor, bool]:
        pooled = pooling(self.x)
        if not self.fused.training:  # every edge has running statistics of its own
            return self._norm(torch.cat([pooled] * self.edges, dim=1), weights), True
        self.common.append(self.next_norm)
        return self._norm(pooled, None, of_edges=1), False

    def _reduced(self) -> Tensor:
        """Both halves of the factorized reductions by one convolution, of which half the weights are 0."""
        pixels, channels = torch.cat(pixels_of_both_halves(self.rectified), dim=1), self.x.shape[1]
        even, odd = (self._stacked().unflatten(0, (self.edges, -1)) for _ in range(2))
        halves = [F.pad(even, (0, 0, 0, 0, 0, channels)), F.pad(odd, (0, 0, 0, 0, channels, 0))]
        return F.conv2d(pixels, torch.cat(halves, dim=1).flatten(0, 1))

    def _convolved(self, convolution: nn.Conv2d, z: Tensor, each: bool) -> Tensor:
        weight = self._stacked()
        if isinstance(convolution, DepthwiseConv2d):
            z = z if each else self._repeated()
            return depthwise_conv(z, weight, convolution.stride[0], convolution.dilation[0])
        groups = self.edges if each else 1
        return F.conv2d(z, weight, None, convolution.stride, convolution.padding, convolution.dilation, groups)

    def _repeated(self) -> Tensor:
        """The rectified input once an edge, as channels (N, E C, H, W); the same for all operations."""
        if self.repeated is None:
            self.repeated = torch.cat([self.rectified] * self.edges, dim=1)  # in its order in memory, unlike `repeat`
        return self.repeated

    def _stacked(self) -> Tensor:
        """The weights of the next convolution of all edges, one edge's output channels after another's."""
        first = self.next_weight
        self.next_weight += self.edges
        return torch.cat([convolution.weight for convolution in self.fused.convolutions[first : self.next_weight]])

    def _norm(self, z: Tensor, weights: Tensor | None, of_edges: int | None = None) -> Tensor:
        row, norm = self.next_norm, self.fused.norms[0]
        self.next_norm += 1
        mean, variance = (values[row, :of_edges].flatten() for values in (self.means, self.variances))
        scale = None if weights is None else weights.to(mean.dtype).repeat_interleave(norm.num_features)
        return F.batch_norm(z, mean, variance, scale, None, self.fused.training, momentum=1.0, eps=norm.eps)

    def track(self) -> None:
        """Moves the running statistics, while training."""
        if not self.fused.training:
            return
        found = torch.stack([self.means, self.variances])  # a copy: the backward pass looks at the others
        found[:, self.common] = found[:, self.common, :1]
        self.fused.track(*found.flatten(1, 2))


def _mixtures(maps: Sequence[Tensor], weights: Tensor) -> list[Tensor]:
    """sum_k w_ek maps_k for every edge e, of K maps (N, C, H, W) and weights (E, K), as a product of matrices."""
    pixels_first = torch.stack([each.permute(0, 2, 3, 1) for each in maps])
    mixed = torch.tensordot(weights.to(pixels_first.dtype), pixels_first, dims=1)
    return list(mixed.permute(0, 1, 4, 2, 3).unbind())


def _has_batched_form(operation: nn.Module) -> bool:
    if type(operation) in (Zero, nn.Identity, FactorizedReduce):
        return True
    kinds = [type(link) for link in operation.children()] if type(operation).forward is nn.Sequential.forward else []
    if kinds in ([nn.MaxPool2d, nn.BatchNorm2d], [AveragePool2d, nn.BatchNorm2d]):
        return True
    convolves = kinds[:1] == [nn.ReLU] and kinds[1:2] in ([nn.Conv2d], [DepthwiseConv2d]) and set(kinds) <= _LINKS
    return convolves and kinds[-1] is nn.BatchNorm2d and all(map(_is_usual, operation.children()))


def _is_usual(link: nn.Module) -> bool:
    """Whether it is no convolution, or one without bias or groups but for the depthwise ones, padded by zeros."""
    if not isinstance(link, nn.Conv2d):
        return True
    special = link.bias is not None or link.groups > 1
    return special == (type(link) is DepthwiseConv2d) and link.padding_mode == "zeros"


def _structure(operation: nn.Module) -> tuple[str, ...]:
    """Everything of an operation but its weights."""
    return tuple(f"{type(module).__name__}({module.extra_repr()})" for module in operation.modules())
