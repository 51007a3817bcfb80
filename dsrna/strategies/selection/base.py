"""What every way of choosing the genotype shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.selection.paths import Paths, PathScore
from dsrna.types import OperationWeights

ReportEpoch = Callable[[int, float], None]
"""(epochs done, mean loss of the last one)"""


@dataclass(frozen=True)
class TrainedSearch:
    """A search that is done, as a selection sees it. Nothing in it may be changed.

    Attributes:
        space: the search space.
        weights: the expected operation weights.
        paths: gives the supernet's cells as networks, scored by the architecture steps' objective on their images.
        together: (cells, epochs, images, report) trains a new supernet as the weight steps do, on one of some cells in
            each step; its paths, scored on so many images. What was trained before a run was stopped is remembered.
        alone: (cell, cells, epochs, images, report) does so with a network of the cell alone, of so many cells or, for
            None, as many as the supernet; its score.
        tune: (network, steps, learning rate, purpose) trains a network in place on the weight steps' images, by their
            objective.
        generator: purpose -> a CPU generator of the run's seed, the only source of random numbers.
        report: (steps done, steps in all, numbers) moves the progress bar.
    """

    space: SearchSpace
    weights: OperationWeights
    paths: Callable[[], Paths]
    together: Callable[[Sequence[Genotype], int, int, ReportEpoch], Paths]
    alone: Callable[[Genotype, int | None, int, int, ReportEpoch], PathScore]
    tune: Callable[[nn.Module, int, float, str], None]
    generator: Callable[[str], torch.Generator]
    report: Callable[[int, int, dict[str, float | str]], None]


@dataclass(frozen=True)
class Candidate:
    """A cell that was looked at.

    Attributes:
        genotype: the cell.
        score: as a path of the supernet; None where it wasn't looked at as one.
        tuned: after its copy of the weights was fine-tuned; None where it wasn't.
        alone: after it was trained from new weights; None where it wasn't.
    """

    genotype: Genotype
    score: PathScore | None = None
    tuned: PathScore | None = None
    alone: PathScore | None = None


@dataclass(frozen=True)
class Decision:
    """A place of a cell where the supernet was scored without each of some things.

    Attributes:
        cell_type: the cell.
        place: an edge, ``"0 -> 2"``, or a node, ``"node 3"``; input nodes are counted first.
        kept: names of what was kept there: an operation, or edges.
        score: of the supernet as it was before.
        without: name -> its score without this operation or edge alone.
    """

    cell_type: str
    place: str
    kept: tuple[str, ...]
    score: PathScore
    without: Mapping[str, PathScore]


@dataclass(frozen=True)
class Selected:
    """The chosen genotype, and why.

    Attributes:
        genotype: what was chosen.
        candidates: whole cells that it was chosen among, the best first.
        decisions: places where it was decided, in their order.
    """

    genotype: Genotype
    candidates: tuple[Candidate, ...] = ()
    decisions: tuple[Decision, ...] = ()


class Selection(ABC):
    """Chooses the genotype at the end of a search. It is done again from the start when a run is continued there, with
    the same result: all it depends on are the last checkpoint and the seed.
    """

    @abstractmethod
    def select(self, search: TrainedSearch) -> Selected:
        """The genotype, and the scores of what was looked at."""


def by_merit(score: PathScore | None) -> tuple[float, float]:
    """A key that sorts the best first: by the accuracy under the objective's attack, then by the loss; none last."""
    return (1.0, 0.0) if score is None else (-score.objective_accuracy, score.loss)
