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
from dsrna.nn.edges.mixed_operation import MixedOperation, shuffle_channels
from dsrna.types import CellWeights

Implementation = Literal["reference", "batched", "compiled"]

FUSED: dict[str, type[FusedEdges]] = {"compiled": CompiledEdges, "batched": BatchedEdges}
"""The faster implementations; a call that one objects to is the next one's, and at last the reference's."""


class MixedEdges(nn.ModuleList):
    """x_j = sum_{i<j} b_(i,j) mixed_(i,j)(x_i) for each node j that edges enter; b is 1 without edge weights.

    Three implementations of the same mathematics, which agree to rounding. ``reference`` runs the operations' modules
    one after another: every device, precision and kind of tensor. ``batched`` computes all edges that leave a node
    together by torch's operations; ``compiled`` does so by kernels of our own, on the CPU, and a second derivative
    through them is that of torch's operations. An operation that they don't know is computed by its module, in the
    order in which the reference would, and costs its own speed alone. A call to which
    :meth:`~dsrna.nn.edges.fused_edges.FusedEdges.objection` is made goes from ``compiled`` to ``batched``, and from
    there to ``reference``.

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
        self.implementation: Implementation = "reference"
        self._fused: dict[str, dict[int, FusedEdges]] = {}
        self._operations: list[int] = []

    def forward(self, inputs: Sequence[Tensor], weights: CellWeights) -> list[Tensor]:
        """All nodes, the inputs first.

        Args:
            inputs: the nodes that no edge enters, each (N, C, H, W).
            weights: operation weights (E, O) and edge weights (E,) or None.
        """
        kinds = list(FUSED)
        for kind in kinds[kinds.index(self.implementation) :] if self.implementation in FUSED else ():
            if self.objection(kind, inputs, weights) is None:
                return self._by_fused_edges(self.fused(kind), inputs, weights)
        return self._by_modules(inputs, weights)

    def objection(self, kind: str, inputs: Sequence[Tensor], weights: CellWeights) -> str | None:
        """Why a faster implementation can't serve this call, or None where it computes what the modules do.

        Args:
            kind: a key of :data:`FUSED`.
            inputs: as in a call.
            weights: as in a call.
        """
        if (reason := self.standing_objection(kind)) is not None:
            return reason
        busy = (fused for fused in self.fused(kind).values() if not fused.idle)
        return next((reason for fused in busy if (reason := fused.objection(inputs, weights)) is not None), None)

    def standing_objection(self, kind: str) -> str | None:
        """The same of all calls: the machine can't compute edges so, or nothing of these is known."""
        if (reason := FUSED[kind].missing()) is not None:
            return reason
        return "none of the operations is known" if all(each.idle for each in self.fused(kind).values()) else None

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
        left = self.left(fused)

        def add_node() -> None:
            target = len(nodes)
            for index, (source, end) in enumerate(self.ends):
                if end == target and left[index]:
                    mixed[end].extend(self._by_module(index, left[index], nodes[source], operations[index]))
            nodes.append(self._node(mixed[target], bypassing[target]))

        for source, leaving in self._leaving():
            while source >= len(nodes):
                add_node()
            first = self.edge(leaving[0])
            active = first.active_channels
            x = nodes[source]
            if not fused[source].idle:
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
            add_node()
        return nodes

    def _by_module(self, index: int, places: Sequence[int], x: Tensor, weights: Tensor) -> Iterator[Tensor]:
        edge = self.edge(index)
        for place in places:
            yield weights[place] * edge.operations[place](x[:, : edge.active_channels])

    def _node(self, mixed: list[Tensor], bypassing: list[Tensor]) -> Tensor:
        total = sum(mixed[1:], start=mixed[0])
        if not bypassing:
            return total
        rest = sum(bypassing[1:], start=bypassing[0])
        return shuffle_channels(torch.cat([total, rest], dim=1), self.edge(0).partial_channels)

    def _leaving(self) -> Iterator[tuple[int, list[int]]]:
        """Each node that edges leave, in ascending order, and those edges."""
        for node in sorted({source for source, _ in self.ends}):
            yield node, [index for index, (source, _) in enumerate(self.ends) if source == node]

    def edge(self, index: int) -> MixedOperation:
        """One of the edges."""
        return cast(MixedOperation, self[index])

    def left(self, fused: Mapping[int, FusedEdges]) -> dict[int, list[int]]:
        """Edge -> places of the operations that fused edges leave to their modules."""
        return {
            index: places
            for source, leaving in self._leaving()
            for index, places in zip(leaving, fused[source].left, strict=True)
        }

    def fused(self, kind: str) -> dict[int, FusedEdges]:
        """Node -> the edges that leave it, fused; made anew when an operation was replaced.

        Args:
            kind: a key of :data:`FUSED`.
        """
        operations = [id(operation) for edge in self for operation in cast(MixedOperation, edge).operations]
        if self._operations != operations:
            self._fused, self._operations = {}, operations
        if kind not in self._fused:
            self._fused[kind] = {
                node: FUSED[kind]([self.edge(index) for index in leaving]) for node, leaving in self._leaving()
            }
        return self._fused[kind]

    def __getstate__(self) -> dict[str, Any]:
        """Without the fused edges, which belong to this copy's operations."""
        return {**self.__dict__, "_fused": {}}
