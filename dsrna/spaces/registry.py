"""The search spaces by the names that stand in saved genotypes, found wherever they are defined."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pkgutil import iter_modules

from dsrna.errors import GenotypeError
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.names import unknown_name
from dsrna.spaces.search_space import SearchSpace

GROUP = "dsrna.spaces"


def space_of(genotype: Genotype) -> SearchSpace:
    """The space that a genotype is of: of the kind that it names, with the settings that it says or its cells tell.

    Kinds are the subclasses of :class:`SearchSpace` with a name of their own: in a folder of ``dsrna/spaces`` with a
    module ``space``, named by another package's entry point of the group ``dsrna.spaces``, or imported by now.

    Raises:
        GenotypeError: no space has that name, or none of the kind has such settings.
    """
    _load()
    kinds: dict[str, type[SearchSpace]] = {}
    for kind in _with_subclasses(SearchSpace):
        if "name" in vars(kind):
            kinds.setdefault(kind.name, kind)
    if genotype.space not in kinds:
        raise GenotypeError(f"space: {unknown_name('search space', genotype.space, kinds)}")
    return kinds[genotype.space].fitting(genotype)


def _with_subclasses(kind: type[SearchSpace]) -> Iterator[type[SearchSpace]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _with_subclasses(each)


@cache
def _load() -> None:
    for folder in iter_modules(import_module("dsrna.spaces").__path__, "dsrna.spaces."):
        if folder.ispkg and find_spec(f"{folder.name}.space") is not None:
            import_module(f"{folder.name}.space")
    for point in entry_points(group=GROUP):
        point.load()
