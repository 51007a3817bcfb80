"""Random search."""

from __future__ import annotations

import random

from dsrna.query_searches.base import Genes, GeneSpace, Proposals, QuerySearch


class RandomSearch(QuerySearch):
    """Architectures in random order, none of them twice."""

    def proposals(self, space: GeneSpace, chance: random.Random) -> Proposals:
        """See :meth:`dsrna.query_searches.base.QuerySearch.proposals`."""
        known: set[Genes] = set()
        while len(known) < space.size:
            genes = space.draw(chance)
            if genes not in known:
                known.add(genes)
                yield genes
