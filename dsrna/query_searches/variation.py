"""How children differ from their parents."""

from __future__ import annotations

import random

from dsrna.query_searches.base import Genes, GeneSpace


def mutated_once(genes: Genes, space: GeneSpace, chance: random.Random) -> Genes:
    """Another operation on one edge; all neighbours are equally likely."""
    return chance.choice(space.neighbours(genes))


def child_of(first: Genes, second: Genes, space: GeneSpace, chance: random.Random) -> Genes:
    """Uniform crossover: each edge from either parent; then another operation on each with probability 1 / edges."""
    child = []
    for genes in zip(first, second, strict=True):
        operation = chance.choice(genes)
        if chance.random() < 1 / space.edges:
            operation = (operation + chance.randrange(1, space.operations)) % space.operations
        child.append(operation)
    return tuple(child)
