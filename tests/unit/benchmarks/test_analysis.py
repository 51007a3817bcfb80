"""Analyses of columns, against scipy and plain counting, and on columns built to have a known answer."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from dsrna.benchmarks.analysis import (
    convolution_depths,
    kendall_correlations,
    means_by_depth,
    means_by_operation_count,
    means_by_position,
    operation_counts,
    rank_correlations,
    spreads_at_equal_parameters,
)
from dsrna.benchmarks.classes import representatives
from dsrna.errors import ConfigError
from dsrna.spaces.nasbench201.index import isomorphs, string_at
from tests.thorough import examples

PRIMITIVES = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
STRINGS = [string_at(index) for index in sorted(set(isomorphs().tolist()))]


@examples(50)
@given(st.integers(0, 2**31), st.integers(3, 40), st.booleans())
def test_rank_correlations_equal_scipys(seed, size, ties):
    generator = np.random.default_rng(seed)
    columns = generator.integers(0, 4, (3, size)).astype(float) if ties else generator.random((3, size))
    columns[:, :2] = [[0, 1], [1, 0], [0, 3]]  # no column is constant
    holes = np.concatenate([columns, [[np.nan], [1.0], [2.0]]], axis=1)
    for ours, scipys in ((rank_correlations, spearmanr), (kendall_correlations, kendalltau)):
        matrix = ours(columns)
        for i in range(3):
            for j in range(3):
                assert matrix[i, j] == pytest.approx(scipys(columns[i], columns[j]).statistic)
        np.testing.assert_allclose(ours(holes), matrix)


def test_a_constant_column_has_no_rank_correlation():
    matrix = kendall_correlations([np.arange(5.0), np.ones(5)])
    np.testing.assert_allclose(matrix, [[1, np.nan], [np.nan, np.nan]])


def test_rank_correlations_need_two_entries():
    with pytest.raises(ConfigError, match=r"at least two architectures .* got 1"):
        rank_correlations([np.array([1.0, np.nan]), np.array([1.0, 2.0])])


def test_operation_counts_are_those_of_the_strings():
    assert len(representatives()) == 6466
    expected = [[text.count(name + "~") for name in PRIMITIVES] for text in STRINGS]
    assert operation_counts().tolist() == expected


def test_a_column_that_counts_an_operation_gives_back_its_count():
    convolutions = operation_counts()[:, 3].astype(float)
    np.testing.assert_array_equal(means_by_operation_count(convolutions)[3], np.arange(7.0))
    for spread in spreads_at_equal_parameters(convolutions):
        assert spread.smallest == spread.largest == spread.convolutions_3x3
    assert sum(spread.classes for spread in spreads_at_equal_parameters(convolutions)) == 6466


def test_a_column_that_marks_a_place_stands_out_there():
    last_edge = np.array([text.endswith("skip_connect~2|") for text in STRINGS], dtype=float)
    means = means_by_position(last_edge)
    assert means[5].tolist() == [0, 1, 0, 0, 0]
    assert ((means[:5] > 0) & (means[:5] < 1)).all()


def test_spreads_leave_out_what_does_not_count():
    values = np.arange(6466, dtype=float)
    values[:10] = np.nan
    among = np.arange(6466) < 500
    spreads = spreads_at_equal_parameters(values, among)
    assert sum(spread.classes for spread in spreads) == 490
    counts = operation_counts()
    for spread in spreads:
        rows = [
            row
            for row in range(10, 500)
            if counts[row, 2] == spread.convolutions_1x1 and counts[row, 3] == spread.convolutions_3x3
        ]
        assert (spread.smallest, spread.largest, spread.classes) == (min(rows), max(rows), len(rows))


def longest_row(text):
    """By walking every path from the input to the output."""
    edges = {(source, target): "none" for target in range(1, 4) for source in range(target)}
    for target, part in enumerate(text.split("+"), start=1):
        for entry in part.strip("|").split("|"):
            name, source = entry.split("~")
            edges[int(source), target] = name
    paths = [(0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)]
    walked = [[edges[step] for step in itertools.pairwise(path)] for path in paths]
    return max((names.count("nor_conv_3x3") for names in walked if "none" not in names), default=0)


def test_depths_are_those_of_the_deepest_path():
    assert convolution_depths().tolist() == [longest_row(text) for text in STRINGS]
    np.testing.assert_array_equal(means_by_depth(convolution_depths().astype(float))[2], [0, 1, 2, np.nan])
