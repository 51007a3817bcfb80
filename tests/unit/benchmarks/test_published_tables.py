"""Check values of the published tables themselves; skipped where they aren't there."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from dsrna.benchmarks.analysis import means_by_operation_count, rank_correlations, spreads_at_equal_parameters
from dsrna.benchmarks.nas_robbench_201 import FILE_NAME, NasRobBench201
from dsrna.benchmarks.robustness_dataset import CORRUPTIONS, RobustnessDataset
from dsrna.benchmarks.verdict import verdict
from dsrna.spaces.nasbench201.index import COUNT, index_of

DATA = Path(os.environ.get("DSRNA_DATA", ""))

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not (DATA / FILE_NAME).is_file() or not (DATA / "robustness-data" / "meta.json").is_file(),
        reason=f"set $DSRNA_DATA to a folder with {FILE_NAME} and robustness-data/ to check the published tables",
    ),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def robbench(cache):
    return NasRobBench201(DATA, cache)


@pytest.fixture(scope="module")
def robustness(cache):
    return RobustnessDataset(DATA / "robustness-data", cache)


def test_robustness_dataset_check_values(robustness):
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|nor_conv_1x1~1|skip_connect~2|"
    assert index_of(text) == 13433
    assert robustness.query(text, "cifar10", "clean") == robustness.query(13433, "cifar10", "clean") == 0.893
    assert robustness.query(13433, "cifar10", "pgd", eps=1 / 255) == 0.336
    # the best under FGSM at 1/255, as published
    assert np.nanmax(robustness.of_classes("cifar10", "fgsm", eps=1 / 255)) == pytest.approx(0.6924, abs=1e-3)


def test_robustness_dataset_is_complete(robustness):
    every = np.arange(COUNT)
    clean = robustness.query_many(every, "cifar10", "clean")
    for attack in ("fgsm", "pgd", "apgd_ce", "square"):
        (grid,) = robustness.axes("cifar10", attack)
        assert len(grid.levels) == (11 if attack == "fgsm" else 7)
        weak, strong = (robustness.query_many(every, "cifar10", attack, eps=eps) for eps in (0.1 / 255, 8 / 255))
        assert strong.mean() < weak.mean() < clean.mean()
    for corruption in CORRUPTIONS:
        mild, severe = (robustness.query_many(every, "cifar10", corruption, severity=level) for level in (1, 5))
        assert severe.mean() < mild.mean()
    matrices = robustness.query_many(np.array([13433, 0]), "cifar10", "clean_cm")
    assert matrices.shape == (2, 10, 10)
    accuracy = matrices[0].trace() / matrices[0].sum()
    assert accuracy == pytest.approx(0.893, abs=1e-3)


def test_nas_robbench_201_check_values(robbench):
    best = {
        ("clean", None): 79.56,
        ("fgsm", 3): 69.73,
        ("fgsm", 8): 53.51,
        ("pgd", 3): 69.24,
        ("pgd", 8): 48.11,
        ("autoattack", None): 44.38,
    }
    for (metric, eps), percent in best.items():
        values = robbench.query_many(np.arange(COUNT), "cifar10", metric, eps=None if eps is None else eps / 255)
        assert round(100 * float(values.max()), 2) == percent


def test_fgsm_and_pgd_rank_alike_after_adversarial_training(robbench):
    fgsm, pgd = (robbench.of_classes("cifar10", attack, eps=8 / 255) for attack in ("fgsm", "pgd"))
    assert round(float(rank_correlations([fgsm, pgd])[0, 1]), 3) == 0.998


def test_ranks_after_standard_training_say_little_of_those_after_adversarial_training(robbench, robustness):
    adversarial, standard = (table.of_classes("cifar10", "pgd", eps=8 / 255) for table in (robbench, robustness))
    assert round(float(rank_correlations([adversarial, standard])[0, 1]), 3) == 0.382


def test_networks_of_two_3x3_convolutions_spread_as_published(robustness):
    """Published: mean accuracy over all attacks from 0.21 to 0.40 at the same parameter count."""
    columns = [
        robustness.of_classes("cifar10", attack, eps=eps)
        for attack in ("fgsm", "pgd", "apgd_ce", "square")
        for eps in robustness.axes("cifar10", attack)[0].levels
    ]
    learnt = robustness.of_classes("cifar10", "clean") > 0.2
    spreads = spreads_at_equal_parameters(np.mean(columns, axis=0), among=learnt)
    (two,) = (spread for spread in spreads if (spread.convolutions_1x1, spread.convolutions_3x3) == (0, 2))
    assert (round(two.smallest, 2), round(two.largest, 2)) == (0.21, 0.40)


def test_3x3_convolutions_help_after_adversarial_training(robbench):
    """As published; more of them go with higher accuracy under PGD."""
    means = means_by_operation_count(robbench.of_classes("cifar10", "pgd", eps=8 / 255))[3]
    assert (np.diff(means) > 0).all()


def test_the_best_architecture_has_rank_one_and_no_regret(robbench):
    best = verdict(0, robbench, "cifar10", eps=[8 / 255])[2].best_architecture
    row = verdict(best, robbench, "cifar10", eps=[8 / 255])[2]
    assert (row.label, row.rank, row.classes, row.regret) == ("pgd 8/255", 1, 6466, 0.0)


def test_loading_after_conversion_is_fast(robbench, cache):
    start = time.process_time()
    NasRobBench201(DATA, cache).query(0, "cifar10", "pgd", eps=8 / 255)
    assert time.process_time() - start < 0.2
