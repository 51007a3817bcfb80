"""How far a search moved: its operation weights from uniform, its derived cell over the epochs, its runners-up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dsrna.report.cell_drawing import edge_name


@dataclass(frozen=True)
class EdgeChoice:
    """What the last epoch says of one edge, among the operations that a derived cell may have.

    Attributes:
        cell: cell type.
        edge: its name, e.g. ``"2 → 3"``.
        kept: whether the edge is in the derived cell.
        operation, weight: of the largest weight.
        runner_up, runner_up_weight: of the second largest; None and 0 where there is no second operation.
        strength: what edges of a node compete by: the largest weight times the edge weight, 1 where there is none.
    """

    cell: str
    edge: str
    kept: bool
    operation: str
    weight: float
    runner_up: str | None
    runner_up_weight: float
    strength: float

    @property
    def gap(self) -> float:
        """weight - runner_up_weight, >= 0."""
        return self.weight - self.runner_up_weight

    @property
    def lead(self) -> float:
        """The gap as a share of the larger weight, in [0, 1]: 0 where the two are equal."""
        return self.gap / self.weight if self.weight > 0 else 0.0


@dataclass(frozen=True)
class NodeChoice:
    """How narrowly the edges of a node were chosen: the weakest that the derived cell has and the strongest it lacks.

    Attributes:
        cell: cell type.
        node: its number.
        kept, left_out: the two edges.
    """

    cell: str
    node: int
    kept: EdgeChoice
    left_out: EdgeChoice

    @property
    def lead(self) -> float:
        """1 - strength of the edge left out / strength of the one kept; 0 where the two are equal."""
        return 1 - self.left_out.strength / self.kept.strength if self.kept.strength > 0 else 0.0


@dataclass(frozen=True)
class Movement:
    """What ``search/architecture.json`` says of how decided a search is.

    Attributes:
        entropy: of the operation weights in units of ln O, mean over all edges: 1 all equal, 0 each edge one-hot.
        largest_gap: between the best and the second weight of an edge, over all edges.
        uniform: 1 / O, each weight where all are equal.
        epochs: how many there were.
        last_change: number of the epoch, counted from 1, at whose end the derived cell was another than before; None
            where it was the same after every epoch.
        edges: in the order of the cells' edges.
        nodes: those that lack an edge.
    """

    entropy: float
    largest_gap: float
    uniform: float
    epochs: int
    last_change: int | None
    edges: list[EdgeChoice]
    nodes: list[NodeChoice]

    @property
    def closest(self) -> EdgeChoice:
        """The edge of the derived cell whose runner-up is closest."""
        return min((edge for edge in self.edges if edge.kept), key=lambda edge: edge.lead)


def movement(architecture: dict[str, Any]) -> Movement | None:
    """The movement of a search; None before the end of its first epoch.

    Args:
        architecture: ``search/architecture.json``.
    """
    epochs, primitives = architecture["epochs"], architecture["primitives"]
    if not epochs:
        return None
    last = epochs[-1]
    edges, nodes = [], []
    for cell, described in architecture["cells"].items():
        of_cell = _edge_choices(architecture, cell, described["edges"], last)
        edges += [edge for _, edge in of_cell]
        nodes += _node_choices(cell, of_cell)
    rows = [row for cell in last["weights"].values() for row in cell["operations"]]
    changes = [number for number in range(1, len(epochs)) if _cells(epochs[number]) != _cells(epochs[number - 1])]
    return Movement(
        entropy=sum(_entropy(row) for row in rows) / len(rows),
        largest_gap=max(edge.gap for edge in edges),
        uniform=1 / len(primitives),
        epochs=len(epochs),
        last_change=changes[-1] + 1 if changes else None,
        edges=edges,
        nodes=nodes,
    )


def choices(architecture: dict[str, Any]) -> list[str]:
    """The operations that a derived cell may have; folders of an older dsrna don't say so themselves."""
    primitives: list[str] = architecture["primitives"]
    known: list[str] = architecture.get(
        "choices", primitives if architecture["space"] == "nasbench201" else [p for p in primitives if p != "none"]
    )
    return known


def derived_operations(genotype: dict[str, Any], cell: str, edges: Sequence[Sequence[int]]) -> dict[Any, str]:
    """(source, target) -> operation of the edges that a genotype's cell has."""
    inputs = min(target for _, target in edges)  # nodes are numbered after the cell's inputs
    nodes = genotype["cells"][cell]["nodes"]
    return {(source, target): name for target, node in enumerate(nodes, start=inputs) for name, source in node}


def _edge_choices(
    architecture: dict[str, Any], cell: str, edges: Sequence[Sequence[int]], last: dict[str, Any]
) -> list[tuple[int, EdgeChoice]]:
    """(target, choice) of every edge of a cell."""
    names, among = architecture["primitives"], choices(architecture)
    derived = derived_operations(last["genotype"], cell, edges)
    inputs = min(target for _, target in edges)
    weights = last["weights"][cell]
    scales = weights.get("edges") or [1.0] * len(edges)
    found = []
    for (source, target), row, scale in zip(edges, weights["operations"], scales, strict=True):
        ranked = sorted(((row[names.index(name)], name) for name in among), key=lambda pair: -pair[0])
        second = ranked[1] if len(ranked) > 1 else (0.0, None)
        kept = (source, target) in derived
        choice = EdgeChoice(
            cell, edge_name(source, target, inputs), kept, ranked[0][1], ranked[0][0], second[1], second[0],
            ranked[0][0] * scale,
        )  # fmt: skip
        found.append((target, choice))
    return found


def _node_choices(cell: str, edges: Sequence[tuple[int, EdgeChoice]]) -> list[NodeChoice]:
    found = []
    for node in dict.fromkeys(target for target, _ in edges):
        entering = [edge for target, edge in edges if target == node]
        kept, left = [e for e in entering if e.kept], [e for e in entering if not e.kept]
        if kept and left:
            weakest, strongest = min(kept, key=_strength), max(left, key=_strength)
            found.append(NodeChoice(cell, node, weakest, strongest))
    return found


def _strength(edge: EdgeChoice) -> float:
    return edge.strength


def _cells(epoch: dict[str, Any]) -> Any:
    return epoch["genotype"]["cells"]


def _entropy(row: Sequence[float]) -> float:
    """In units of ln O, of the weights as shares: those of a strategy off the simplex don't sum to 1."""
    total = sum(row)
    if total <= 0:
        return 1.0
    shares = [weight / total for weight in row if weight > 0]
    return -sum(share * math.log(share) for share in shares) / math.log(len(row)) if len(row) > 1 else 0.0
