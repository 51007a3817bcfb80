"""The search spaces by the names that stand in saved genotypes."""

from __future__ import annotations

from dsrna.errors import GenotypeError
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.names import unknown_name
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.search_space import SearchSpace

SPACES: dict[str, type[SearchSpace]] = {space.name: space for space in (DartsSpace, Nasbench201Space, SearchSpace)}


def space_of(genotype: Genotype) -> SearchSpace:
    """The space that a genotype is of: of the kind that it names, with the settings that it says or its cells tell.

    Raises:
        GenotypeError: no space has that name, or none of the kind has such settings.
    """
    if genotype.space not in SPACES:
        raise GenotypeError(f"space: {unknown_name('search space', genotype.space, SPACES)}")
    return SPACES[genotype.space].fitting(genotype)
