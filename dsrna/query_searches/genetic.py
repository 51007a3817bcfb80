"""A genetic algorithm."""

from __future__ import annotations

import random

from dsrna.query_searches.base import GeneSpace, Proposals, Query, QuerySearch, at_least
from dsrna.query_searches.variation import child_of


class Genetic(QuerySearch):
    """Generations of children of the winners of binary tournaments; the best of parents and children survive.

    An architecture is in the population once at most, so that it can't fill up with copies. Of equals, those that were
    found first survive.

    Args:
        population: how many survive, and how many children a generation has, at least 2.
    """

    def __init__(self, population: int = 20) -> None:
        at_least(2, population=population)
        self.population = population
        self.fewest_queries = population + 1

    def proposals(self, space: GeneSpace, chance: random.Random) -> Proposals:
        """See :meth:`dsrna.query_searches.base.QuerySearch.proposals`."""
        alive: list[Query] = []
        for _ in range(self.population):
            genes = space.draw(chance)
            alive.append(Query(genes, (yield genes)))
        while True:
            children = []
            for _ in range(self.population):
                genes = child_of(_winner(alive, chance).genes, _winner(alive, chance).genes, space, chance)
                children.append(Query(genes, (yield genes)))
            alive = survivors([*alive, *children], self.population)


def survivors(members: list[Query], count: int) -> list[Query]:
    """The ``count`` best different architectures, or all if there are fewer; best first."""
    different = {member.genes: member for member in members}  # each at the place where it was first found
    in_order = sorted(different.values(), key=lambda member: member.fitness, reverse=True)
    return in_order[:count]


def _winner(alive: list[Query], chance: random.Random) -> Query:
    return max(chance.choices(alive, k=2), key=lambda member: member.fitness)
