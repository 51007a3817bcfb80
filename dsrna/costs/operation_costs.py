"""What each operation of each edge costs, counted or measured on the operation itself."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Literal, cast

import torch
from torch import Tensor, nn

from dsrna.functional.multiply_adds import multiply_adds
from dsrna.nn.edges.mixed_edges import MixedEdges
from dsrna.nn.edges.mixed_operation import MixedOperation
from dsrna.nn.modes import evaluation_mode
from dsrna.nn.operations import OPERATIONS
from dsrna.spaces.search_space import SearchSpace
from dsrna.spaces.supernet import Supernet
from dsrna.types import CellWeights

Cost = Literal["parameters", "flops", "latency"]

_REPEATS = 15


def operation_costs(kind: Cost, space: SearchSpace, supernet: Supernet) -> dict[str, Tensor]:
    """Cell type -> (E, O) float64: the cost of each operation, summed over the supernet's cells of that type.

    Operations are built as derived networks have them (all channels, BatchNorm with scale and shift) at the sizes that
    the supernet's cells have. ``flops`` are multiply-adds of convolutions for one image; ``latency`` is milliseconds
    for one image in evaluation mode on this machine's CPU, the median of several calls: no two measurements agree.

    Args:
        kind: what is counted.
        space: the supernet's space.
        supernet: gives the cells' sizes; it is looked at once, with an image of zeros, and left as it was.
    """
    found = {name: torch.zeros(shape, dtype=torch.double) for name, shape in space.weight_shapes().items()}
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # building draws weights
        for cell_type, edges, sizes in _cells(space, supernet):
            for row, (edge, x) in enumerate(zip(edges, sizes, strict=True)):
                stride, allowed = cast(MixedOperation, edge).stride, space.topology(cell_type).operations[row]
                for column, name in enumerate(space.primitives):
                    if name not in allowed:
                        continue
                    operation = OPERATIONS[name](x.shape[1], x.shape[1], stride, True)
                    found[cell_type][row, column] += _cost(kind, operation, x)
    return found


def _cost(kind: Cost, operation: nn.Module, x: Tensor) -> float:
    if kind == "parameters":
        return sum(parameter.numel() for parameter in operation.parameters())
    operation.eval()
    if kind == "flops":
        return multiply_adds(operation, x)
    operation(x)
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        operation(x)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def _cells(space: SearchSpace, supernet: Supernet) -> Iterator[tuple[str, MixedEdges, list[Tensor]]]:
    """Type, edges and each edge's input (1, C, H, W), of every cell."""
    weights = {name: CellWeights(torch.ones(shape)) for name, shape in space.weight_shapes().items()}
    like = next(supernet.parameters())
    weights = {name: CellWeights(cell.operations.to(like)) for name, cell in weights.items()}
    seen: dict[nn.Module, tuple[str, list[Tensor]]] = {}

    def note_cell(module: nn.Module, inputs: tuple[list[Tensor], CellWeights]) -> None:
        name = next(name for name, cell in weights.items() if cell is inputs[1])
        seen[module] = (name, [torch.zeros(0)] * len(cast(MixedEdges, module)))

    def note_edge(module: nn.Module, inputs: tuple[Tensor, Tensor]) -> None:
        owner = next(edges for edges in seen if any(edge is module for edge in cast(MixedEdges, edges)))
        place = next(i for i, edge in enumerate(cast(MixedEdges, owner)) if edge is module)
        seen[owner][1][place] = torch.zeros(inputs[0].shape)

    hooks = []
    for module in supernet.modules():
        if isinstance(module, MixedEdges):
            hooks.append(module.register_forward_pre_hook(note_cell))
        elif isinstance(module, MixedOperation):
            hooks.append(module.register_forward_pre_hook(note_edge))
    try:
        with evaluation_mode(supernet):
            supernet(like.new_zeros(1, *supernet.shape), weights)
    finally:
        for hook in hooks:
            hook.remove()
    for module, (name, sizes) in seen.items():
        yield name, cast(MixedEdges, module), sizes
