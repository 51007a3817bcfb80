"""All edges of a supernet's cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsrna.nn.edges.batched_edges import BatchedEdges
from dsrna.nn.edges.compiled.compiled_edges import CompiledEdges
from dsrna.nn.edges.fused_edges import FusedEdges
from dsrna.nn.edges.limits import Fast, why_not
from dsrna.nn.edges.mixed_operation import MixedOperation, shuffle_channels
from dsrna.types import CellWeights

Implementation = Literal["textbook", "batched", "compiled"]

_TRIED: dict[Implementation, tuple[Fast, ...]] = {
    "textbook": (), "batched": ("batched",), "compiled": ("compiled", "batched"),
}  # fmt: skip


class MixedEdges(nn.ModuleList):
    """x_j = sum_{i<j} b_(i,j) mixed_(i,j)(x_i) for each node j that edges enter; b is 1 without edge weights.

    Three implementations of the same mathematics, which agree to rounding. ``textbook`` runs the operations' modules
    one after another: every device, precision and kind of tensor. ``batched`` computes all edges that leave a node
    together by torch's operations; ``compiled`` does so by kernels of our own, on the CPU, and a second derivative
    through them is the textbook's. What :func:`~dsrna.nn.edges.limits.why_not` has an objection to goes from
    ``compiled`` to ``batched``, and from there to ``textbook``.

    Args:
        ends: (source, target) of each edge, source < target, grouped by ascending target without gaps; the first target
            follows the last input node.
        primitives: names of operations, in the order of the weights.
        channels: of every node.
        stride: of the edges that leave a node, 1 or 2.
        partial_channels: see :class:`~dsrna.nn.edges.mixed_operation.MixedOperation`.
        operations: for every edge the primitives that it may have, the others being zeros there; None for all of them.

    Raises:
        ValueError: the edges are not grouped so.

    Attributes:
        ends: as given.
        implementation: the fastest one that is used; see :func:`~dsrna.nn.edges.implementation.use_implementation`.

    Source: DARTS (ICLR 2019), eq. 1; edge weights: PC-DARTS (ICLR 2020), eq. 2.
    """

    def __init__(
        self,
        ends: Sequence[tuple[int, int]],
        primitives: Sequence[str],
        channels: int,
        stride: Callable[[int], int],
        partial_channels: int = 1,
        operations: Sequence[Sequence[str]] | None = None,
    ) -> None:
        targets = [target for _, target in ends]
        steps = {after - before for before, after in pairwise(targets)}
        if not steps <= {0, 1} or any(source >= target for source, target in ends):
            raise ValueError(f"Expected edges to later nodes, grouped by ascending target without gaps, got {ends}.")
        super().__init__(
            MixedOperation(
                [name if name in allowed else "none" for name in primitives], channels, stride(source), partial_channels
            )
            for (source, _), allowed in zip(ends, operations or [primitives] * len(ends), strict=True)
        )
        self.ends = tuple(ends)
        self.implementation: Implementation = "textbook"
        self._fused: dict[Fast, dict[int, FusedEdges]] = {}
        self._operations: list[int] = []

    def forward(self, inputs: Sequence[Tensor], weights: CellWeights) -> list[Tensor]:
        """All nodes, the inputs first.

        Args:
            inputs: the nodes that no edge enters, each (N, C, H, W).
            weights: operation weights (E, O) and edge weights (E,) or None.
        """
        for kind in _TRIED[self.implementation]:
            if why_not(kind, self, inputs, weights) is None:
                return self._by_fused_edges(self.fused(kind), inputs, weights)
        return self._by_modules(inputs, weights)

    def _by_modules(self, inputs: Sequence[Tensor], weights: CellWeights) -> list[Tensor]:
        nodes = list(inputs)
        for index, ((source, target), edge) in enumerate(zip(self.ends, self, strict=True)):
            output = edge(nodes[source], weights.operations[index])
            if weights.edges is not None:
                output = weights.edges[index] * output
            if target == len(nodes):
                nodes.append(output)
            else:
                nodes[target] = nodes[target] + output
        return nodes

    def _by_fused_edges(
        self, fused: Mapping[int, FusedEdges], inputs: Sequence[Tensor], weights: CellWeights
    ) -> list[Tensor]:
        nodes = list(inputs)
        mixed: dict[int, list[Tensor]] = {target: [] for _, target in self.ends}
        bypassing: dict[int, list[Tensor]] = {target: [] for _, target in self.ends}
        operations = weights.operations if weights.edges is None else weights.operations * weights.edges[:, None]
        for source, leaving in self._leaving():
            while source >= len(nodes):
                nodes.append(self._node(mixed[len(nodes)], bypassing[len(nodes)]))
            first = cast(MixedOperation, self[leaving[0]])
            active = first.active_channels
            x = nodes[source]
            outputs = fused[source](x[:, :active], operations[leaving])
            for index, output in zip(leaving, outputs, strict=True):
                mixed[self.ends[index][1]].append(output)
            if active < x.shape[1]:
                bypass = x[:, active:]
                if first.stride == 2:
                    bypass = F.max_pool2d(bypass, 2, ceil_mode=True)
                for index in leaving:
                    bypassing[self.ends[index][1]].append(
                        bypass if weights.edges is None else bypass * weights.edges[index]
                    )
        while len(nodes) <= self.ends[-1][1]:
            nodes.append(self._node(mixed[len(nodes)], bypassing[len(nodes)]))
        return nodes

    def _node(self, mixed: list[Tensor], bypassing: list[Tensor]) -> Tensor:
        total = sum(mixed[1:], start=mixed[0])
        if not bypassing:
            return total
        rest = sum(bypassing[1:], start=bypassing[0])
        return shuffle_channels(torch.cat([total, rest], dim=1), cast(MixedOperation, self[0]).partial_channels)

    def _leaving(self) -> Iterator[tuple[int, list[int]]]:
        """Each node that edges leave, in ascending order, and those edges."""
        for node in sorted({source for source, _ in self.ends}):
            yield node, [index for index, (source, _) in enumerate(self.ends) if source == node]

    def fused(self, kind: Fast) -> dict[int, FusedEdges]:
        """Node -> the edges that leave it, computed together; made anew when an operation was replaced.

        Args:
            kind: how they are computed.

        Raises:
            UnsupportedError: an operation has no such form.
        """
        operations = [id(operation) for edge in self for operation in cast(MixedOperation, edge).operations]
        if self._operations != operations:
            self._fused, self._operations = {}, operations
        if kind not in self._fused:
            of_edges = CompiledEdges if kind == "compiled" else BatchedEdges
            self._fused[kind] = {
                node: of_edges([cast(MixedOperation, self[index]) for index in leaving])
                for node, leaving in self._leaving()
            }
        return self._fused[kind]

    def __getstate__(self) -> dict[str, Any]:
        """Without the fused edges, which belong to this copy's operations."""
        return {**self.__dict__, "_fused": {}}
