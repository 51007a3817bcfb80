"""Operation counts and the warning of skip-connection collapse, on published and made-up cells."""

import pytest

from dsrna.spaces.darts.published import published
from dsrna.spaces.genotype import CellGenotype, Genotype
from dsrna.strategies.operation_counts import operation_counts, skip_connection_warning


def genotype(skips):
    """Eight operations in each cell, the first so many of them skip connections."""
    names = ["skip_connect"] * skips + ["sep_conv_3x3"] * (8 - skips)
    nodes = tuple(((names[2 * node], 0), (names[2 * node + 1], 1)) for node in range(4))
    normal = CellGenotype(nodes, (2, 3, 4, 5))
    reduce = CellGenotype(((("max_pool_3x3", 0), ("max_pool_3x3", 1)),) * 4, (2, 3, 4, 5))
    return Genotype("darts", {"normal": normal, "reduce": reduce})


def test_counts_of_a_published_genotype():
    counts = operation_counts(published("DARTS_V2"))
    assert counts == {
        "normal": {"sep_conv_3x3": 5, "skip_connect": 2, "dil_conv_3x3": 1},
        "reduce": {"max_pool_3x3": 5, "skip_connect": 3},
    }
    assert next(iter(counts["normal"])) == "sep_conv_3x3"


@pytest.mark.parametrize("name", ["DARTS_V1", "DARTS_V2", "PC_DARTS", "AdvRush", "RACL", "E2RNAS", "RNAS"])
def test_published_genotypes_have_not_collapsed(name):
    assert skip_connection_warning(published(name)) is None


def test_those_published_because_they_collapsed_have():
    assert "7 of 8 in the normal cell" in skip_connection_warning(published("RobustDARTS_S1_L2x1"))


def test_the_warning_starts_above_the_limit_and_names_the_cell():
    assert skip_connection_warning(genotype(4)) is None
    warning = skip_connection_warning(genotype(5))
    assert "5 of 8 in the normal cell" in warning
    assert "reduce" not in warning
    assert "4 of 8" in skip_connection_warning(genotype(4), limit=0.4)
    assert skip_connection_warning(genotype(3), limit=0.4) is None
