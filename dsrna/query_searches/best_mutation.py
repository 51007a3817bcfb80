"""Mutants of the best architecture so far."""

from __future__ import annotations

import random

from dsrna.query_searches.base import GeneSpace, Proposals, Query, QuerySearch, at_least
from dsrna.query_searches.variation import mutated_once


class BestMutation(QuerySearch):
    """A first pool of random architectures, then pools of mutants of the best so far, each differing in one gene.

    With a first pool of one this is the search that CRoZe's authors call mutate, with 50 their warm-up.

    Differs from the released code: every mutant is a copy of its own, where there all mutants of a pool share one list
    of operations, and with it the best architecture that is remembered.

    Args:
        warmup: random architectures at the beginning, at least 1.
        pool: mutants of one parent, at least 1.

    Source: Ha, Kim, Hwang, Generalizable lightweight proxy for robust NAS, NeurIPS 2023.
    """

    def __init__(self, warmup: int = 50, pool: int = 5) -> None:
        at_least(1, warmup=warmup, pool=pool)
        self.warmup = warmup
        self.pool = pool
        self.fewest_queries = warmup + 1

    def proposals(self, space: GeneSpace, chance: random.Random) -> Proposals:
        """See :meth:`dsrna.query_searches.base.QuerySearch.proposals`."""
        members: list[Query] = []
        for _ in range(self.warmup):
            genes = space.draw(chance)
            members.append(Query(genes, (yield genes)))
        while True:
            best = max(members, key=lambda member: member.fitness)
            members = [best]
            for _ in range(self.pool):
                genes = mutated_once(best.genes, space, chance)
                members.append(Query(genes, (yield genes)))
