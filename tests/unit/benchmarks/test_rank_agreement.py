"""Rank correlations and their bootstrap intervals against scipy, resample by resample."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from dsrna.benchmarks.classes import representatives, rows
from dsrna.benchmarks.rank_agreement import rank_agreements
from dsrna.benchmarks.sampling import is_connected, random_architectures
from dsrna.errors import ConfigError, NonFiniteError
from dsrna.spaces.nasbench201.index import index_of
from dsrna.spaces.nasbench201.space import Nasbench201Space
from tests.thorough import examples


@pytest.mark.slow
@examples(15)
@given(seed=st.integers(0, 2**31), count=st.integers(8, 20), levels=st.integers(4, 30))
def test_coefficients_and_intervals_are_scipys(seed, count, levels):
    """With ties, which resampling makes in any case."""
    source = np.random.default_rng(seed)
    scores = [source.integers(levels, size=count).astype(float) for _ in range(2)]
    columns = [scores[0] + source.normal(size=count).round(1) for _ in range(3)]
    found = rank_agreements(scores, columns, resamples=30, seed=seed)
    draws = np.random.default_rng(seed).integers(count, size=(30, count))
    for kind, correlate in ((found.spearman, spearmanr), (found.kendall, kendalltau)):
        for i, a in enumerate(scores):
            for j, b in enumerate(columns):
                if np.ptp(a) == 0:
                    continue
                assert kind[i][j].value == pytest.approx(correlate(a, b).statistic, abs=1e-12)
                with np.errstate(all="ignore"):
                    each = [correlate(a[draw], b[draw]).statistic for draw in draws if np.ptp(a[draw]) > 0]
                low, high = np.nanquantile(each, [0.025, 0.975])
                assert (kind[i][j].low, kind[i][j].high) == pytest.approx((low, high), abs=1e-6)


def test_a_constant_column_has_no_rank_correlation():
    found = rank_agreements([np.arange(5.0)], [np.ones(5), np.arange(5.0)], resamples=20, seed=0)
    constant, same = found.spearman[0]
    assert np.isnan([constant.value, constant.low, constant.high]).all()
    assert (same.value, same.low, same.high) == pytest.approx((1, 1, 1))
    assert np.isnan(found.kendall[0][0].value)


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(NonFiniteError, match="finite scores"):
        rank_agreements([np.array([1.0, np.nan, 2.0])], [np.arange(3.0)], 5, 0)
    with pytest.raises(ConfigError, match="at least three"):
        rank_agreements([np.arange(2.0)], [np.arange(2.0)], 5, 0)


def test_random_architectures():
    draw = lambda: torch.Generator().manual_seed(3)  # noqa: E731
    few, many = random_architectures(10, draw()), random_architectures(3000, draw())
    assert many[:10] == few
    assert len({int(rows()[index]) for index in many}) == 3000, "two are isomorphic"
    assert random_architectures(10, torch.Generator().manual_seed(4)) != few
    with pytest.raises(ConfigError, match="as many as there are"):
        random_architectures(6467, draw())


@pytest.mark.parametrize(("string", "expected"), [
    ("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|", True),
    ("|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|", True),
    ("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|", False),
    ("|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|", False),
])  # fmt: skip
def test_connected_means_that_the_image_reaches_the_logits(string, expected):
    assert is_connected(index_of(string)) == expected
    torch.manual_seed(0)
    space = Nasbench201Space()
    network = space.network(space.genotype(string), (3, 8, 8), 3, cells=1, channels=4)
    logits = network(torch.rand(4, 3, 8, 8))
    assert bool((logits != logits[0]).any()) == expected


def test_disconnected_architectures_are_few():
    assert sum(not is_connected(int(index)) for index in representatives()) < 200
