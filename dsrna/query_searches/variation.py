"""How children differ from their parents."""

from __future__ import annotations

import random

from dsrna.query_searches.base import Genes, GeneSpace


def mutated_once(genes: Genes, space: GeneSpace, chance: random.Random) -> Genes:
    """Another value of one gene; all neighbours are equally likely."""
    return chance.choice(space.neighbours(genes))


def child_of(first: Genes, second: Genes, space: GeneSpace, chance: random.Random) -> Genes:
    """Uniform crossover: each gene from either parent; then another value of each with probability 1 / genes."""
    child = []
    for values, count in zip(zip(first, second, strict=True), space.choices, strict=True):
        value = chance.choice(values)
        if count > 1 and chance.random() < 1 / len(space.choices):
            value = (value + chance.randrange(1, count)) % count
        child.append(value)
    return tuple(child)
