"""What every query-based search offers, and the loop that asks and tells."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from dsrna.errors import ConfigError

Genes = tuple[int, ...]
"""An architecture: one choice a gene, e.g. the position of the operation on each edge."""

Fitness = tuple[float, ...]
"""Objectives, higher = better; -inf for an architecture that is worse than all others."""

Proposals = Generator[Genes, Fitness, None]
"""Yields the architecture to query next and is sent its fitness; ends when it has nothing left to ask."""


@dataclass(frozen=True)
class GeneSpace:
    """All ways to choose, for gene i, one of ``choices[i]`` values.

    >>> GeneSpace((5,) * 6).size
    15625
    """

    choices: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many architectures there are."""
        return prod(self.choices)

    def draw(self, chance: random.Random) -> Genes:
        """One architecture, all of them equally likely."""
        return tuple(chance.randrange(count) for count in self.choices)

    def neighbours(self, genes: Genes) -> list[Genes]:
        """The architectures that differ in one gene."""
        return [
            (*genes[:gene], value, *genes[gene + 1 :])
            for gene, count in enumerate(self.choices)
            for value in range(count)
            if value != genes[gene]
        ]


class QuerySearch(ABC):
    """A search; it holds its settings and no state, so that one object serves any number of runs.

    Attributes:
        several_objectives: whether it weighs objectives against each other; if not, the first decides, and the others
            only between equals.
        fewest_queries: the smallest budget with which it gets beyond its random beginning.

    Raises:
        ConfigError: a setting is out of its range.
    """

    several_objectives: ClassVar[bool] = False
    fewest_queries: int = 1

    @abstractmethod
    def proposals(self, space: GeneSpace, chance: random.Random) -> Proposals:
        """Asks for fitnesses, one architecture after the other.

        Args:
            space: the architectures.
            chance: the only source of randomness.
        """


@dataclass(frozen=True)
class Query:
    """One architecture that was asked for, and what was told."""

    genes: Genes
    fitness: Fitness


def run_queries(
    search: QuerySearch, space: GeneSpace, fitness: Callable[[Genes], Fitness], budget: int, seed: int
) -> list[Query]:
    """All queries of one run, in order: exactly ``budget``, or fewer if the search has nothing left to ask.

    An architecture that is asked for again counts again.

    Args:
        search: what proposes.
        space: the architectures.
        fitness: called once a query.
        budget: most queries, at least 1.
        seed: the same seed gives the same queries.

    Raises:
        ConfigError: the budget isn't positive.
    """
    if budget < 1:
        raise ConfigError(f"Expected a budget of at least 1 query, got {budget}.")
    proposals = search.proposals(space, random.Random(seed))
    queries: list[Query] = []
    genes = next(proposals, None)
    while genes is not None:
        queries.append(Query(genes, fitness(genes)))
        if len(queries) == budget:
            proposals.close()
            break
        try:
            genes = proposals.send(queries[-1].fitness)
        except StopIteration:
            break
    return queries


def at_least(minimum: int, **settings: int) -> None:
    """Refuses settings below a minimum.

    Raises:
        ConfigError: names the first.
    """
    for name, value in settings.items():
        if value < minimum:
            raise ConfigError(f"Expected `{name}` to be at least {minimum}, got {value}. (conf: {name})")
