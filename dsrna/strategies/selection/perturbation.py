"""The operations and edges whose removal hurts the supernet most."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from dsrna.errors import ConfigError
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.selection.base import Decision, Selected, Selection, TrainedSearch, by_merit
from dsrna.strategies.selection.paths import FixedSupernet, PathScore
from dsrna.strategies.selection.sampling import equal_weights
from dsrna.types import CellWeights, OperationWeights

Place = TypeVar("Place")


class Perturbation(Selection):
    """DARTS-PT: discretises the supernet edge by edge, by what the removal of each operation costs it.

    Begins with the expected operation weights. The edges of all cells are taken in random order. On each, the supernet
    is scored without each operation in turn, the weights of the edge's others scaled up to the same sum; the one whose
    removal leaves the lowest accuracy (of equal ones: the highest loss) is kept with weight 1, as a space derives it:
    without ``none`` where no cell has it, or where it would cut off the output. Then, where a node has more edges than
    a cell keeps, node by node in random order, the supernet is scored without each of its edges, and those whose
    removal hurts most are kept. After each decision but the last the supernet is fine-tuned. All happens on a copy.

    Scores are of the images of the architecture steps, under the attack of their objective where it has one, with
    BatchNorm's statistics taken anew. An operation of expected weight 0 is no candidate; what is left alone on its edge
    is kept without a look.

    Cost: a pass of the supernet over a few hundred images for every operation of every edge, and for every edge of
    those nodes; ``steps`` weight steps for every edge and node.

    Args:
        steps: of fine-tuning after each decision, >= 0.
        learning_rate: of fine-tuning, > 0.

    Raises:
        ConfigError: a value is out of range.

    Source: Wang et al., Rethinking Architecture Selection in Differentiable NAS (ICLR 2021), algorithm 1. Differs: the
    weights of the others are scaled up where one is masked; accuracy is that in evaluation mode.
    """

    def __init__(self, steps: int = 50, learning_rate: float = 0.01) -> None:
        if not 0 <= steps <= 1_000_000:
            raise ConfigError(f"Expected `steps` >= 0, got {steps}. (conf: selection.steps)")
        if not 0 < learning_rate < float("inf"):
            raise ConfigError(f"Expected `learning_rate` > 0, got {learning_rate}. (conf: selection.learning_rate)")
        self.steps, self.learning_rate = steps, learning_rate

    def select(self, search: TrainedSearch) -> Selected:
        """See :class:`dsrna.strategies.selection.base.Selection`."""
        space, perturbed = search.space, _Perturbed(search, self.steps, self.learning_rate)
        for cell_type, edge in _shuffled(_every_edge(space), search.generator("perturbed edges")):
            perturbed.decide_operation(cell_type, edge)
        for cell_type, node, keeps in _shuffled(_choosing_nodes(space), search.generator("perturbed nodes")):
            perturbed.decide_edges(cell_type, node, keeps)
        return Selected(perturbed.genotype(), decisions=tuple(perturbed.decisions))


class _Perturbed:
    """A copy of a supernet that is discretised place by place.

    Attributes:
        weights: the supernet's: the expected ones where nothing is decided yet.
        decided: equal ones there: what is derived in the end.
        decisions: what was looked at.
    """

    def __init__(self, search: TrainedSearch, steps: int, learning_rate: float) -> None:
        self.space, self.paths = search.space, search.paths()
        self._search, self._steps, self._learning_rate = search, steps, learning_rate
        self.weights = {cell_type: _plain(cell) for cell_type, cell in search.weights.items()}
        self.decided = {cell_type: _plain(cell) for cell_type, cell in equal_weights(self.space).items()}
        self.decisions: list[Decision] = []
        self._network = FixedSupernet(copy.deepcopy(self.paths.supernet), self.weights, sparse=False)
        self._places = sum(len(cell.operations) for cell in self.weights.values()) + len(_choosing_nodes(self.space))
        self._done = 0

    def decide_operation(self, cell_type: str, edge: int) -> None:
        """Keeps one operation on an edge, with weight 1."""
        names, row = self.space.primitives, self.weights[cell_type].operations[edge]
        possible = [column for column, name in enumerate(names) if name in self.space.choices]
        columns = [column for column in possible if row[column] > 0] or possible[:1]
        scores = self._scores([self._without_operation(cell_type, edge, column) for column in columns])
        wish = torch.zeros_like(row)
        for rank, place in enumerate(_most_hurting(scores)):
            wish[columns[place]] = 2 / (1 + rank)  # above all others: the edge is one of those that its node keeps
        self.decided[cell_type].operations[edge] = wish
        chosen = self.space.one_hot(self.genotype())[cell_type].operations[edge].to(row)
        for weights in (self.weights, self.decided):
            weights[cell_type].operations[edge] = chosen
        source, target = self.space.edges(cell_type)[edge]
        kept = (names[int(chosen.argmax())],)
        self._note(cell_type, f"{source} -> {target}", kept, [names[column] for column in columns], scores)

    def decide_edges(self, cell_type: str, node: int, keeps: int) -> None:
        """Keeps some of the edges into a node."""
        ends = self.space.edges(cell_type)
        entering = [edge for edge, (_, target) in enumerate(ends) if target == node]
        scores = self._scores([self._without_edge(cell_type, edge) for edge in entering])
        left_out = [entering[place] for place in _most_hurting(scores)[keeps:]]
        for weights in (self.weights, self.decided):
            _edges(weights[cell_type])[left_out] = 0
        texts = {edge: "{} -> {}".format(*ends[edge]) for edge in entering}
        kept = tuple(text for edge, text in texts.items() if edge not in left_out)
        self._note(cell_type, f"node {node}", kept, list(texts.values()), scores)

    def genotype(self) -> Genotype:
        """What was decided, as a cell."""
        return self.space.derive(self.decided)

    def _scores(self, perturbed: Sequence[OperationWeights]) -> list[PathScore]:
        """Of the supernet under its own weights, then under others; none where there is nothing to compare."""
        self._done += 1
        if len(perturbed) < 2:
            return []
        if self.decisions:
            purpose = f"perturbation {len(self.decisions)}"
            self._network.fix(self.weights)
            self._search.tune(self._network, self._steps, self._learning_rate, purpose)
        found = []
        for weights in (self.weights, *perturbed):
            self._network.fix(weights)
            found.append(self.paths.score(self._network))
        self._search.report(self._done, self._places, {"acc": found[0].objective_accuracy})
        return found

    def _note(
        self, cell_type: str, place: str, kept: tuple[str, ...], names: list[str], scores: list[PathScore]
    ) -> None:
        if scores:
            without = dict(zip(names, scores[1:], strict=True))
            self.decisions.append(Decision(cell_type, place, kept, scores[0], without))

    def _without_operation(self, cell_type: str, edge: int, column: int) -> OperationWeights:
        """The weights without one operation, the others of its edge scaled up to the same sum."""
        cell = self.weights[cell_type]
        operations = cell.operations.clone()
        operations[edge, column] = 0
        operations[edge] *= cell.operations[edge].sum() / operations[edge].sum().clamp_min(1e-300)
        return self.weights | {cell_type: CellWeights(operations, cell.edges)}

    def _without_edge(self, cell_type: str, edge: int) -> OperationWeights:
        cell = self.weights[cell_type]
        edges = _edges(cell).clone()
        edges[edge] = 0
        return self.weights | {cell_type: CellWeights(cell.operations, edges)}


def _most_hurting(scores: Sequence[PathScore]) -> list[int]:
    """Places of the perturbed scores, which follow the unperturbed one; the lowest first, of equals the earlier."""
    perturbed = scores[1:]
    return sorted(range(len(perturbed)), key=lambda place: by_merit(perturbed[place]), reverse=True) or [0]


def _plain(cell: CellWeights) -> CellWeights:
    """A copy in double precision, each edge with a weight."""
    operations = cell.operations.detach().cpu().double()
    edges = torch.ones(len(operations)) if cell.edges is None else cell.edges.detach().cpu()
    return CellWeights(operations.clone(), edges.double().clone())


def _edges(cell: CellWeights) -> Tensor:
    assert cell.edges is not None
    return cell.edges


def _every_edge(space: SearchSpace) -> list[tuple[str, int]]:
    return [(cell_type, edge) for cell_type in space.cell_types for edge in range(len(space.edges(cell_type)))]


def _choosing_nodes(space: SearchSpace) -> list[tuple[str, int, int]]:
    """Cell type, node and how many edges a cell keeps there, of each node that has more."""
    found = []
    for cell_type, cell in space.derive(equal_weights(space)).cells.items():
        targets = [target for _, target in space.edges(cell_type)]
        for node, kept in zip(sorted(set(targets)), cell.nodes, strict=True):
            if targets.count(node) > len(kept):
                found.append((cell_type, node, len(kept)))
    return found


def _shuffled(places: Sequence[Place], generator: torch.Generator) -> Iterator[Place]:
    for index in torch.randperm(len(places), generator=generator).tolist():
        yield places[index]
