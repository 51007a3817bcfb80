"""Means, intervals, paired tests and fronts against scipy, textbooks and brute force."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from dsrna.comparing.fronts import Point, front
from dsrna.comparing.intervals import Estimate, spread
from dsrna.comparing.paired import holm, over_images, over_seeds


def test_a_spread_of_several_cells_takes_the_cells_as_its_unit():
    found = spread([[0.4, 0.5], [0.6, 0.7], [0.55, 0.65]])
    means = [0.45, 0.65, 0.6]
    assert found.mean == pytest.approx(np.mean(means))
    assert found.deviation == pytest.approx(np.std([0.4, 0.5, 0.6, 0.7, 0.55, 0.65], ddof=1))
    assert found.interval == pytest.approx(stats.t.interval(0.95, 2, np.mean(means), stats.sem(means)))
    assert (found.cells, found.networks) == (3, 6)


def test_a_cell_that_two_searches_found_weighs_twice_in_the_mean_and_is_no_second_cell():
    found = spread([[0.4], [0.7]], times=[2, 1])
    assert found.mean == pytest.approx(0.5)
    half = 12.7062047 * 0.15  # t of one degree of freedom, and half the distance of two cells: sd / sqrt(2)
    assert found.interval == pytest.approx((0.5 - half, 0.5 + half))
    assert found.cells == 2


def test_a_single_cell_has_the_interval_of_its_trainings_and_a_single_network_none():
    values = [0.41, 0.43, 0.48]
    found = spread([values], times=[3])
    assert found.interval == pytest.approx(stats.t.interval(0.95, 2, np.mean(values), stats.sem(values)))
    alone = spread([[0.4]])
    assert (alone.mean, alone.deviation, alone.interval) == (0.4, None, None)


def test_the_difference_over_seeds_is_that_of_a_paired_t_test():
    some, others = {0: 0.41, 1: 0.44, 2: 0.43, 5: 0.9}, {2: 0.40, 1: 0.42, 0: 0.40, 7: 0.1}
    found = over_seeds(some, others)
    textbook = stats.ttest_rel([0.41, 0.44, 0.43], [0.40, 0.42, 0.40])
    low, high = textbook.confidence_interval(0.95)
    assert found.p_value == pytest.approx(textbook.pvalue)
    assert (found.value, *found.interval) == pytest.approx((0.02, low, high))


def test_seeds_without_scatter_prove_nothing():
    assert over_seeds({0: 0.4}, {0: 0.3}) is None
    assert over_seeds({0: 0.4, 1: 0.5}, {0: 0.4, 1: 0.5}).p_value == 1
    assert over_seeds({0: 0.4, 1: 0.5}, {0: 0.3, 1: 0.4}).p_value is None


def test_one_network_each_is_mcnemars_exact_test():
    draw = np.random.default_rng(0)
    some, others = draw.random((1, 60)) < 0.7, draw.random((1, 60)) < 0.55
    gained, lost = (some & ~others).sum(), (others & ~some).sum()
    total = gained + lost
    tail = sum(math.comb(total, k) for k in range(min(gained, lost) + 1)) / 2**total
    assert over_images(some, others) == pytest.approx(min(1, 2 * tail))
    assert over_images(some, some) == 1


def test_several_networks_are_compared_by_each_images_share():
    draw = np.random.default_rng(0)
    some, others = draw.random((3, 80)) < 0.7, draw.random((2, 80)) < 0.6
    textbook = stats.ttest_rel(some.mean(0), others.mean(0)).pvalue
    assert over_images(some, others) == pytest.approx(textbook)


def test_image_tests_are_by_chance_below_5_per_cent_once_in_20():
    draw = np.random.default_rng(2)
    p = [over_images(*(draw.random((2, 2, 200)) < 0.6)) for _ in range(1000)]
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.07


def test_holm_as_in_the_textbook():
    # the example of Wikipedia's article on the Holm-Bonferroni method
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2, None, 0.5, 0.9]) == [pytest.approx(0.6), None, 1, 1]
    assert holm([]) == []


def test_holm_rejects_what_the_stepwise_procedure_rejects():
    draw = np.random.default_rng(3)
    for _ in range(100):
        p = draw.random(6) ** 3
        rejected = set()
        for rank, place in enumerate(p.argsort()):
            if p[place] > 0.05 / (6 - rank):
                break
            rejected.add(int(place))
        assert {place for place, corrected in enumerate(holm(p.tolist())) if corrected <= 0.05} == rejected


def brute_volume(points, corner):
    """By inclusion and exclusion."""
    total = 0.0
    for count in range(1, len(points) + 1):
        for chosen in itertools.combinations(points, count):
            total += (-1) ** (count + 1) * np.prod(np.maximum(np.min(chosen, axis=0) - corner, 0))
    return total


def test_the_front_and_its_volume_against_brute_force():
    draw = np.random.default_rng(4)
    for _ in range(10):
        points = [Point(*draw.random(2), 10 ** draw.uniform(5, 8)) for _ in range(6)]
        found = front(points)
        values = [np.array([p.robust, p.clean, -math.log10(p.multiply_adds)]) for p in points]
        corner = np.array([0, 0, -math.log10(10 * max(p.multiply_adds for p in points))])
        assert found.volume == pytest.approx(brute_volume(values, corner))
        for place, value in enumerate(values):
            others = values[:place] + values[place + 1 :]
            assert found.shares[place] == pytest.approx(found.volume - brute_volume(others, corner), abs=1e-12)
            beaten = any((other >= value).all() and (other > value).any() for other in others)
            assert found.members[place] == (not beaten)


def test_an_estimates_p_value_is_that_of_a_t_test():
    draw = np.random.default_rng(5).normal(0.3, 1, 9)
    found = Estimate(draw.mean(), stats.sem(draw), 8)
    assert found.p_value == pytest.approx(stats.ttest_1samp(draw, 0).pvalue)
