"""What every way of choosing the genotype shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from dsrna.spaces.genotype import Genotype
from dsrna.spaces.search_space import SearchSpace
from dsrna.strategies.selection.paths import Paths, PathScore
from dsrna.types import OperationWeights


@dataclass(frozen=True)
class TrainedSearch:
    """A search that is done, as a selection sees it. Nothing in it may be changed.

    Attributes:
        space: the search space.
        weights: the expected operation weights.
        paths: gives the supernet's cells as networks, scored by the architecture steps' objective on their images.
        tune: (network, steps, learning rate, purpose) trains a network in place on the weight steps' images, by their
            objective.
        generator: purpose -> a CPU generator of the run's seed, the only source of random numbers.
        report: (steps done, steps in all, numbers) moves the progress bar.
    """

    space: SearchSpace
    weights: OperationWeights
    paths: Callable[[], Paths]
    tune: Callable[[nn.Module, int, float, str], None]
    generator: Callable[[str], torch.Generator]
    report: Callable[[int, int, dict[str, float | str]], None]


@dataclass(frozen=True)
class Candidate:
    """A cell that was looked at.

    Attributes:
        genotype: the cell.
        score: as a path of the supernet.
        tuned: after its copy of the weights was fine-tuned; None where it wasn't.
    """

    genotype: Genotype
    score: PathScore
    tuned: PathScore | None = None


@dataclass(frozen=True)
class Selected:
    """The chosen genotype, and what it was chosen among, the best first."""

    genotype: Genotype
    candidates: tuple[Candidate, ...] = ()


class Selection(ABC):
    """Chooses the genotype at the end of a search. It is done again from the start when a run is continued there, with
    the same result: all it depends on are the last checkpoint and the seed.
    """

    @abstractmethod
    def select(self, search: TrainedSearch) -> Selected:
        """The genotype, and the scores of what was looked at."""
