"""Published genotypes: that each is found, builds, says where it comes from, and has as many parameters as printed."""

from collections import Counter

import pytest
import torch

from dsrna.errors import GenotypeError
from dsrna.spaces.darts.published import PUBLISHED, published
from dsrna.spaces.notation.reading import plain_name
from dsrna.spaces.registry import space_of


def count(name, *args, **sizes):
    with torch.device("meta"):
        network = space_of(published(name)).network(published(name), *args, **sizes)
    return sum(parameter.numel() for parameter in network.parameters())


def test_there_are_many_and_each_says_where_it_comes_from():
    assert len(PUBLISHED) >= 69
    for name, entry in PUBLISHED.items():
        repository, file, there = entry.source.split(": ")
        assert (repository.count("/"), "." in file) == (1, True)
        assert all((there, entry.licence, entry.paper))
        assert entry.name == name


def test_no_name_stands_for_two():
    names = Counter(name for entry in PUBLISHED.values() for name in {plain_name(n) for n in (entry.name, *entry.also)})
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_one_builds_by_any_spelling(name):
    genotype = published(name)
    for spelling in (name.lower().replace("_", "-"), name.upper().replace("_", ""), *PUBLISHED[name].also):
        assert published(spelling) == genotype
    cells = genotype.cells.values()
    assert count(name, (3, 8, 8), 2, cells=3, channels=4) > sum(len(cell.nodes) for cell in cells)


@pytest.mark.parametrize("name", [name for name, entry in PUBLISHED.items() if entry.parameters])
def test_parameters_are_the_printed_ones(name):
    """To the printed digit, rounded or cut off (3.3688 M is printed as 3.36)."""
    size = PUBLISHED[name].parameters
    assert size.counted in ("with the auxiliary head", "without the auxiliary head")
    counted = count(name, (3, 32, 32), 10, auxiliary=size.counted.startswith("with "))
    _, _, digits = size.millions.partition(".")
    unit = 10 ** -len(digits)
    assert -unit / 2 <= counted / 1e6 - float(size.millions) < unit


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(GenotypeError, match=r"unknown published genotype 'DARTS_V3'.*nearest: DARTS_V"):
        published("DARTS_V3")
