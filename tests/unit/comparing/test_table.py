"""The table's numbers, computed again from the made-up networks."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dsrna.comparing.paired import holm
from dsrna.comparing.table import table_of


def of(results, cell):
    return np.array([one.robust for one in results.trained if one.cell == cell])


def outcomes(results, *cells):
    return np.array([[bit == "1" for bit in one.standing] for one in results.trained if one.cell in cells])


def test_a_cell_that_two_searches_found_counts_twice_in_means_and_once_in_scatter(results):
    ours = table_of(results).rows[0]
    a, b = of(results, "a"), of(results, "b")
    assert ours.robust.mean == pytest.approx((2 * a.mean() + b.mean()) / 3)
    assert ours.robust.deviation == pytest.approx(np.std([*a, *b], ddof=1))
    assert (ours.robust.cells, ours.robust.networks, ours.missing) == (2, 4, 0)
    assert (ours.parameters, ours.multiply_adds) == (pytest.approx(4000 / 3), pytest.approx(80000 / 3))
    assert ours.latency == {"1": pytest.approx(7 / 3), "128": 50.0}
    assert (ours.search_seconds, ours.training_seconds) == (12.0, 60.0)


def test_rows_are_tested_beside_the_reference_and_corrected_together(results):
    rows = {row.row.name: row for row in table_of(results).rows}
    random = np.mean([of(results, f"r{n}") for n in range(4)], axis=0)  # by training seed
    ours = (2 * of(results, "a") + of(results, "b")) / 3
    found, published = rows["ours <&_"].test, rows["published"].test
    assert found.p_seeds == pytest.approx(stats.ttest_rel(ours, random).pvalue)
    assert found.difference.value == pytest.approx((ours - random).mean())
    by_images = [
        stats.ttest_rel(outcomes(results, *cells).mean(0), outcomes(results, "r0", "r1", "r2", "r3").mean(0)).pvalue
        for cells in (("a", "b"), ("p",))
    ]
    assert [found.p_images, published.p_images] == pytest.approx(by_images)
    assert [found.holm_images, published.holm_images] == pytest.approx(holm(by_images))
    assert [found.holm_seeds, published.holm_seeds] == pytest.approx(holm([found.p_seeds, published.p_seeds]))
    assert rows["random"].test is None


def test_residuals_are_heights_above_the_random_cells_line(results):
    table = table_of(results)
    x = [math.log(1000 * (place + 1)) for place in range(7)]
    y = [of(results, cell).mean() for cell in ("a", "b", "p", "r0", "r1", "r2", "r3")]
    line = stats.linregress(x[3:], y[3:])
    height = [value - line.intercept - line.slope * size for size, value in zip(x, y, strict=True)]
    ours, published, random = table.rows
    assert ours.residual.value == pytest.approx(np.mean(height[:2]))
    assert published.residual.value == pytest.approx(height[2])
    assert random.residual is None


def test_what_is_missing_is_said_and_left_out(results):
    fewer = replace(results, trained=[one for one in results.trained if (one.cell, one.seed) != ("b", 1)])
    table = table_of(fewer)
    ours = table.rows[0]
    assert (ours.missing, ours.robust.networks) == (1, 3)
    assert [row.name for row in table.unfinished] == ["later"]
    assert ours.test.difference is None  # of one seed alone all of its cells are trained
    assert ours.test.p_images is not None


def test_networks_of_other_images_are_not_paired(results):
    trained = [replace(one, images="others") if one.cell == "p" else one for one in results.trained]
    assert table_of(replace(results, trained=trained)).rows[1].test.p_images is None


def test_results_come_back_as_they_were_saved(results, tmp_path):
    results.save(tmp_path)
    assert type(results).load(tmp_path) == results
