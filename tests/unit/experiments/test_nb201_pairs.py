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
        for name in ("strategies", "agreed", "pairs", "judge"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def strategies(pairs):
    return import_module("strategies")


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


def test_a_rule_is_told_by_its_median_its_worst_search_and_its_cells(pairs, strategies):
    ended = list(searches(pairs, s0=(0.5, 45.0), s1=(3.0, 44.0), s2=(1.0, 40.0)).values())
    row = dict(zip(strategies.COLUMNS, strategies.row("darts", ended), strict=True))
    assert (row["rule"], row["searches"], row["regret, median"], row["worst"]) == ("darts", "3", "1.00", "3.00")
    assert (row["std PGD, median"], row["skips"], row["minutes"], row["cells"]) == ("44.0", "1.0", "5.0", "333s33 x3")


def test_rules_are_found_by_the_names_of_their_run_folders(strategies, tmp_path):
    for name in ("2026-11-28_10-00-00Z_gdas_s0_0a1b2c3d", "2026-11-28_10-00-00Z_beta_decay_s12_0a1b2c3d", "notes"):
        (tmp_path / name).mkdir()
    assert strategies.names([tmp_path]) == {"gdas", "beta_decay"}


def test_groups_that_share_no_search_and_what_they_find(pairs):
    agreed = import_module("agreed")
    assert agreed.groups_apart(list("abcdefgh"), 3) == [("a", "b", "c"), ("d", "e", "f")]
    found = {"a": (0.5, 44.0), "b": (0.7, 40.0), "c": (0.1, 42.0), "d": (2.0, 30.0)}
    cells = {name: pairs.Judged(name, 48.0, regret, 44.0, standard, 55.0) for name, (regret, standard) in found.items()}
    line = agreed.row(1, [(name,) for name in found], lambda group: cells[group[0]], cells=True)
    assert line == ["1", "4", "50%", "0.60", "2.00", "41.0", "a 0.50  b 0.70  c 0.10  d 2.00"]
