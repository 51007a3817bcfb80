"""Pairs of searches: which are counted, and what is said of them."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "experiments" / "nb201_search"


@pytest.fixture(scope="module")
def pairs():
    if not FOLDER.is_dir():
        pytest.skip("experiments/ isn't part of the installed package")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield import_module("pairs")
        for name in ("pairs", "judge"):
            sys.modules.pop(name)


def searches(pairs, **by_seed):
    """Seed -> regret and std PGD 1/255 of a search."""
    return {
        int(seed[1:]): pairs.Search(
            pairs.Judged("333s33", 48.11 - regret, regret, 44.0, standard, 55.0),
            pairs.Judged("333333", 47.0, 1.11, 44.0, 48.0, 55.0),
            5.0,
        )
        for seed, (regret, standard) in by_seed.items()
    }


def test_half_a_point_of_regret_is_good_and_pairs_are_of_the_same_seed(pairs):
    robust = searches(pairs, s1=(0.5, 45.0), s2=(0.51, 44.0), s3=(0.1, 43.0), s9=(0.0, 50.0))
    plain = searches(pairs, s1=(0.7, 44.0), s2=(0.4, 44.0), s3=(0.3, 44.0), s4=(9.0, 10.0))
    (line,) = pairs.summary(robust, "robust")
    assert line.startswith("robust: 4 searches, regret 0.30 (median), 0.51 (worst); at most 0.5 in 3 (95 % interval")
    assert "of the relaxed cells 1.11, 1.11" in line
    pgd, _, standard, _ = pairs.compared(robust, plain)
    assert pgd.startswith("PGD 8/255 after adversarial training: above its pair in 2, below in 1 of 3")
    assert standard.startswith(
        "PGD 1/255 after standard training: above its pair in 1, below in 1 of 3 (sign test p 1)"
    )
    assert "by +0.00 points" in standard


def test_without_a_finished_search_it_says_so(pairs):
    assert pairs.summary({}, "plain") == ["plain: no finished search"]
    assert pairs.compared({}, searches(pairs, s1=(0.1, 44.0))) == []
