"""Genes stand for every architecture of a space exactly once."""

import random
from itertools import product
from math import comb

import pytest

from dsrna.errors import UnsupportedError
from dsrna.query_searches.encoding import gene_space, genotype_of
from dsrna.spaces.darts.space import DARTS_PRIMITIVES, DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.spaces.search_space import SearchSpace


@pytest.mark.slow
def test_every_architecture_of_nasbench201_once():
    space = Nasbench201Space()
    every = product(*(range(count) for count in gene_space(space).choices))
    assert sorted(space.index(genotype_of(genes, space)) for genes in every) == list(range(15625))


def test_every_architecture_of_a_small_darts_space_once():
    space = DartsSpace(nodes=2, primitives=("none", "skip_connect", "sep_conv_3x3"))
    found = set()
    for genes in product(*(range(count) for count in gene_space(space).choices)):
        genotype = genotype_of(genes, space)
        space.check(genotype)
        assert genotype == genotype.canonical()
        found.add(repr(genotype))
    assert len(found) == gene_space(space).size == ((1 * 2 * 2) * (3 * 2 * 2)) ** 2


def test_the_size_of_the_darts_space():
    """Liu et al.: two of the earlier nodes for each of four nodes, seven operations on each, for both cells."""
    expected = 1
    for earlier in (2, 3, 4, 5):
        expected *= comb(earlier, 2) * 7 * 7
    assert gene_space(DartsSpace()).size == expected**2


def test_random_genes_of_darts_are_members_with_all_operations():
    space, chance, names = DartsSpace(), random.Random(0), set()
    for _ in range(200):
        genotype = genotype_of(gene_space(space).draw(chance), space)
        space.check(genotype)
        names |= {name for cell in genotype.cells.values() for node in cell.nodes for name, _ in node}
    assert names == set(DARTS_PRIMITIVES) - {"none"}


def test_every_architecture_of_a_space_whose_edges_have_operations_of_their_own_once():
    ends, names = [[0, 1], [0, 2], [1, 2]], ["skip_connect", "nor_conv_1x1", "nor_conv_3x3"]
    operations = {"cell": [names[:2], names, names[1:]]}
    space = SearchSpace(
        nodes=2, primitives=names, inputs=1, kept=None, output="last", ends=ends, operations=operations,
        skeleton="staged",
    )  # fmt: skip
    found = {genotype_of(genes, space) for genes in product(*(range(count) for count in gene_space(space).choices))}
    assert len(found) == gene_space(space).size == 2 * 3 * 2
    for genotype in found:
        space.check(genotype)


def test_edges_of_a_choosing_node_with_unequal_numbers_of_operations_are_refused():
    operations = [["skip_connect"], ["skip_connect", "sep_conv_3x3"]]
    space = DartsSpace(1, ("skip_connect", "sep_conv_3x3"), operations={"normal": operations})
    with pytest.raises(UnsupportedError, match=r"equally many operations, got \[1, 2\]"):
        gene_space(space)
