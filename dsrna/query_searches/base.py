"""What every query-based search offers, and the loop that asks and tells."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import product

from dsrna.errors import ConfigError

Genes = tuple[int, ...]
"""An architecture: the position of the operation on each edge."""

Fitness = tuple[float, ...]
"""Objectives, higher = better."""

Proposals = Generator[Genes, Fitness, None]
"""Yields the architecture to query next and is sent its fitness; ends when it has nothing left to ask."""


@dataclass(frozen=True)
class GeneSpace:
    """All ways to put one of ``operations`` operations on each of ``edges`` edges."""

    edges: int
    operations: int

    def __iter__(self) -> Iterator[Genes]:
        """Every architecture, in lexicographic order."""
        return product(range(self.operations), repeat=self.edges)

    def draw(self, chance: random.Random) -> Genes:
        """One architecture, all of them equally likely."""
        return tuple(chance.randrange(self.operations) for _ in range(self.edges))

    def neighbours(self, genes: Genes) -> list[Genes]:
        """The edges * (operations - 1) architectures that differ on one edge."""
        return [
            (*genes[:edge], operation, *genes[edge + 1 :])
            for edge in range(self.edges)
            for operation in range(self.operations)
            if operation != genes[edge]
        ]


class QuerySearch(ABC):
    """A search; it holds its settings and no state, so that one object serves any number of runs.

    Raises:
        ConfigError: a setting is out of its range.
    """

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
            raise ConfigError(f"Expected `{name}` to be at least {minimum}, got {value}.")
