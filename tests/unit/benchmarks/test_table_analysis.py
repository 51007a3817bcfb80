"""The analyses of whole tables, on made-up ones of known answers, and on the published ones."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from dsrna.benchmarks.analysis import operation_counts
from dsrna.benchmarks.classes import representatives
from dsrna.benchmarks.findings import agreements, findings
from dsrna.benchmarks.nas_robbench_201 import FILE_NAME, NasRobBench201
from dsrna.benchmarks.published import open_tables
from dsrna.benchmarks.robustness_dataset import RobustnessDataset
from dsrna.benchmarks.table_analysis import analyse_table, connected, parameter_counts
from dsrna.errors import DataError
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.testing.made_up_tables import share, write_adversarial

CLASSES = representatives().tolist()
GRID = {"pgd@Linf": [1.0, 8.0], "fgsm@Linf": [1.0, 8.0]}
DATA = Path(os.environ.get("DSRNA_DATA", ""))


def write_tables(root):
    write_adversarial(root, CLASSES)
    folder = root / "robustness-data" / "cifar10"
    folder.mkdir(parents=True)
    (folder.parent / "meta.json").write_text(json.dumps({"ids": {}, "epsilons": GRID}))
    for salt, key in enumerate(("clean", "pgd@Linf", "fgsm@Linf", "snow")):
        entries = {str(i): [share(i, 10 * salt + level) for level in range(5 if key == "snow" else 2)] for i in CLASSES}
        if key == "clean":
            entries = {index: values[0] for index, values in entries.items()}
        (folder / f"{key}_accuracy.json").write_text(json.dumps({"cifar10": {key: {"accuracy": entries}}}))


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    root = tmp_path_factory.mktemp("tables")
    write_tables(root)
    cache = root / "cache"
    tables = NasRobBench201(root, cache), RobustnessDataset(root / "robustness-data", cache)
    return [analyse_table(table, "cifar10") for table in tables]


def column(salt):
    return np.array([share(index, salt) for index in CLASSES])


@pytest.mark.slow
def test_every_accuracy_is_a_column(analysed):
    adversarial, standard = analysed
    assert [entry.label for entry in adversarial.columns] == ["clean", "pgd 8/255", "autoattack"]
    snow = [f"snow {severity}" for severity in range(1, 6)]
    expected = ["clean", "fgsm 1/255", "fgsm 8/255", "pgd 1/255", "pgd 8/255", *snow]
    assert [entry.label for entry in standard.columns] == expected
    np.testing.assert_array_equal(standard.columns[standard.position("pgd 8/255")].values, column(11))
    np.testing.assert_array_equal(standard.columns[standard.position("snow 4")].values, column(33))
    assert standard.position("snow 6") is None
    assert [table.columns[table.headline].label for table in analysed] == ["pgd 8/255", "pgd 1/255"]


def test_correlations_are_scipys(analysed):
    standard = analysed[1]
    i, j = standard.position("pgd 8/255"), standard.position("snow 4")
    assert standard.spearman[i, j] == pytest.approx(spearmanr(column(11), column(33)).statistic)
    assert standard.kendall[i, j] == pytest.approx(kendalltau(column(11), column(33)).statistic)


def test_spread_of_the_mean_over_attacks(analysed):
    standard = analysed[1]
    mean = (column(10) + column(11) + column(20) + column(21)) / 4
    np.testing.assert_allclose(standard.mean_attacked, mean)
    counts = operation_counts()
    chosen = mean[connected() & (counts[:, 2] == 0) & (counts[:, 3] == 2)]
    (spread,) = [s for s in standard.spreads if (s.convolutions_1x1, s.convolutions_3x3) == (0, 2)]
    assert (spread.classes, spread.smallest, spread.largest) == (
        len(chosen),
        pytest.approx(chosen.min()),
        pytest.approx(chosen.max()),
    )


def test_effects_are_of_connected_classes(analysed):
    headline, clean = analysed[1].effects
    assert (headline.label, clean.label) == ("pgd 1/255", "clean")
    values = column(0)[connected()]
    assert clean.mean == pytest.approx(values.mean())
    assert clean.by_count[3][2] == pytest.approx(values[operation_counts()[connected()][:, 3] == 2].mean())


def test_agreements_pair_the_tables(analysed):
    agreed = {(entry.adversarial, entry.standard): entry for entry in agreements(*analysed)}
    assert len(agreed) == 2 * 5
    entry = agreed["pgd 8/255", "fgsm 1/255"]
    assert entry.spearman == pytest.approx(spearmanr(column(2), column(20)).statistic)
    assert entry.kendall == pytest.approx(kendalltau(column(2), column(20)).statistic)


def test_findings_are_those_that_the_tables_allow(analysed):
    adversarial, standard = analysed
    both = findings("cifar10", analysed, agreements(*analysed))
    assert {entry.source for entry in both} == {"Wu et al. 2024", "Jung et al. 2023"}
    (best,) = [entry for entry in both if "best clean" in entry.what]
    assert best.here == (column(1).max(),)
    assert {entry.source for entry in findings("cifar10", [standard], [])} == {"Jung et al. 2023"}
    assert {entry.source for entry in findings("cifar10", [adversarial], [])} == {"Wu et al. 2024"}


@pytest.mark.parametrize("classes", [10, 100])
def test_parameter_counts_are_those_of_the_networks(classes):
    space, counts = Nasbench201Space(), parameter_counts(classes)
    for row in (0, 17, 2500, 6465):
        network = space.network(space.genotype(string_at(CLASSES[row])), (3, 32, 32), classes)
        assert counts[row] == sum(weights.numel() for weights in network.parameters())


def test_a_table_without_accuracies_is_refused(tmp_path):
    (tmp_path / "meta.json").write_text(json.dumps({"ids": {}, "epsilons": {}}))
    (tmp_path / "cifar10").mkdir()
    with pytest.raises(DataError, match="no accuracies on cifar10"):
        analyse_table(RobustnessDataset(tmp_path, tmp_path / "cache"), "cifar10")


@pytest.mark.skipif(
    not (DATA / FILE_NAME).is_file() or not (DATA / "robustness-data" / "meta.json").is_file(),
    reason=f"set $DSRNA_DATA to a folder with {FILE_NAME} and robustness-data/ to check the published tables",
)
@pytest.mark.slow
def test_the_published_tables_say_what_their_authors_say(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tables = [analyse_table(table, "cifar10") for table in open_tables(DATA)]
    found = findings("cifar10", tables, agreements(*tables))
    assert len(found) == 10
    for entry in found:
        assert entry.here == pytest.approx(entry.published, abs=0.002), entry.what
