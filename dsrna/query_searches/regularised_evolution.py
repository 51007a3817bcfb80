"""Regularised evolution."""

from __future__ import annotations

import random
from collections import deque

from dsrna.query_searches.base import GeneSpace, Proposals, Query, QuerySearch, at_least
from dsrna.query_searches.variation import mutated_once


class RegularisedEvolution(QuerySearch):
    """Mutates the best of a random sample of the population, and lets the oldest die, not the worst.

    Args:
        population: how many are alive, at least 1.
        sample: how many are drawn, with replacement, to find a parent among, at least 1.

    Reference: Real, Aggarwal, Huang, Le, Regularized evolution for image classifier architecture search, AAAI 2019,
    algorithm 1.
    """

    def __init__(self, population: int = 50, sample: int = 10) -> None:
        at_least(1, population=population, sample=sample)
        self.population = population
        self.fewest_queries = population + 1
        self.sample = sample

    def proposals(self, space: GeneSpace, chance: random.Random) -> Proposals:
        """See :meth:`dsrna.query_searches.base.QuerySearch.proposals`."""
        alive: deque[Query] = deque(maxlen=self.population)  # the oldest falls out
        while True:
            if len(alive) < self.population:
                genes = space.draw(chance)
            else:
                parent = max(chance.choices(alive, k=self.sample), key=lambda member: member.fitness)
                genes = mutated_once(parent.genes, space, chance)
            alive.append(Query(genes, (yield genes)))
