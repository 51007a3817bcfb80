"""NSGA-II."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np

from dsrna.query_searches.base import GeneSpace, Proposals, Query, QuerySearch, at_least
from dsrna.query_searches.pareto import crowding_distances, non_dominated_fronts
from dsrna.query_searches.variation import child_of


class Nsga2(QuerySearch):
    """A genetic algorithm for several objectives: earlier fronts survive, within one those in emptier places.

    An architecture is in the population once at most.

    Args:
        population: how many survive, and how many children a generation has, at least 2.

    Reference: Deb, Pratap, Agarwal, Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE
    Transactions on Evolutionary Computation 6(2), 2002.
    """

    several_objectives = True

    def __init__(self, population: int = 20) -> None:
        at_least(2, population=population)
        self.population = population
        self.fewest_queries = population + 1

    def proposals(self, space: GeneSpace, chance: random.Random) -> Proposals:
        """See :meth:`dsrna.query_searches.base.QuerySearch.proposals`."""
        members: list[Query] = []
        for _ in range(self.population):
            genes = space.draw(chance)
            members.append(Query(genes, (yield genes)))
        while True:
            alive = survivors(members, self.population)
            members = [one.query for one in alive]
            for _ in range(self.population):
                genes = child_of(_winner(alive, chance).genes, _winner(alive, chance).genes, space, chance)
                members.append(Query(genes, (yield genes)))


class Ranked(NamedTuple):
    """A survivor; a higher (-front, crowding distance) is better."""

    standing: tuple[int, float]
    query: Query


def survivors(members: list[Query], count: int) -> list[Ranked]:
    """The ``count`` best different architectures by (front, crowding distance), or all if there are fewer."""
    different = list({member.genes: member for member in members}.values())
    values = np.array([member.fitness for member in different])
    fronts = non_dominated_fronts(values)
    distances = np.empty(len(values))
    for front in range(fronts.max() + 1):
        distances[fronts == front] = crowding_distances(values[fronts == front])
    ranked = [
        Ranked((-int(front), float(distance)), member)
        for front, distance, member in zip(fronts, distances, different, strict=True)
    ]
    return sorted(ranked, key=lambda one: one.standing, reverse=True)[:count]


def _winner(alive: list[Ranked], chance: random.Random) -> Query:
    return max(chance.choices(alive, k=2), key=lambda one: one.standing).query
