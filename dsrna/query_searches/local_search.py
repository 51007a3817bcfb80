"""Local search."""

from __future__ import annotations

import random
from collections.abc import Generator

from dsrna.query_searches.base import Fitness, Genes, GeneSpace, Proposals, QuerySearch


class LocalSearch(QuerySearch):
    """Climbs from a random architecture to its best neighbour until none is better, then starts elsewhere.

    No architecture is asked for twice; it ends when all have been.

    Reference: White, Nolen, Savani, Exploring the loss landscape in neural architecture search, UAI 2021.
    """

    def proposals(self, space: GeneSpace, chance: random.Random) -> Proposals:
        """See :meth:`dsrna.query_searches.base.QuerySearch.proposals`."""
        known: dict[Genes, Fitness] = {}
        while len(known) < space.size:
            start = space.draw(chance)
            if start not in known:
                yield from climb(start, space, chance, known)


def climb(
    start: Genes, space: GeneSpace, chance: random.Random, known: dict[Genes, Fitness]
) -> Generator[Genes, Fitness, Genes]:
    """One climb; returns the local optimum it ended in.

    Args:
        start: where it starts.
        space: the architectures.
        chance: orders the neighbours.
        known: fitnesses told so far, which aren't asked for again; what is told is added.
    """
    here = start
    if here not in known:
        known[here] = yield here
    while True:
        around = space.neighbours(here)
        chance.shuffle(around)
        for genes in around:
            if genes not in known:
                known[genes] = yield genes
        best = max(around, key=lambda genes: known[genes])
        if known[best] <= known[here]:
            return here
        here = best
