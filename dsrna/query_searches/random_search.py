"""Random search."""

from __future__ import annotations

import random

from dsrna.query_searches.base import GeneSpace, Proposals, QuerySearch


class RandomSearch(QuerySearch):
    """Architectures in random order, none of them twice."""

    def proposals(self, space: GeneSpace, chance: random.Random) -> Proposals:
        """See :meth:`dsrna.query_searches.base.QuerySearch.proposals`."""
        order = list(space)
        chance.shuffle(order)
        for genes in order:  # noqa: UP028 - a list's own iterator can't be sent fitnesses
            yield genes
