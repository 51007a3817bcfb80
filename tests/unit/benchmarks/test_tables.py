"""Both benchmarks on tables made here in the original layouts: every query, every refusal, conversion and its cache."""

import json
import os
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrna.benchmarks.nas_robbench_201 import FILE_NAME, NasRobBench201
from dsrna.benchmarks.robustness_dataset import CORRUPTIONS, RobustnessDataset
from dsrna.benchmarks.verdict import verdict
from dsrna.errors import ConfigError, DataError, GenotypeError
from dsrna.spaces.nasbench201.index import COUNT, isomorphs, string_at
from dsrna.spaces.nasbench201.space import Nasbench201Space
from tests.thorough import examples

CLASSES = np.unique(isomorphs()).tolist()
GRIDS = {
    "aa_apgd-ce@Linf": [0.1, 0.5, 1.0, 2.0],
    "aa_square@Linf": [0.1, 8.0],
    "fgsm@Linf": [0.1, 1.0, 255.0],
    "pgd@Linf": [0.1, 0.5, 1.0],
}


def value(index, *salts):
    """An accuracy that tells where it comes from."""
    return round((index * 37 + sum(hash_of(salt) for salt in salts)) % 9973 / 9973, 6)


def hash_of(salt):
    return sum((place + 1) * ord(letter) for place, letter in enumerate(str(salt)))


def write_robustness_data(folder, datasets=("cifar10", "ImageNet16-120")):
    ids = {str(i): {"nb201-string": string_at(i), "isomorph": str(isomorphs()[i])} for i in range(0, COUNT, 11)}
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"ids": ids, "epsilons": GRIDS}))
    for dataset in datasets:
        (folder / dataset).mkdir()
        for key in ("clean", "pgd@Linf", "aa_square@Linf", "snow"):
            levels = GRIDS.get(key, range(1, 6) if key == "snow" else None)
            entries = {
                str(i): value(i, dataset, key)
                if levels is None
                else [value(i, dataset, key, level) for level in levels]
                for i in CLASSES
            }
            content = {dataset: {key: {"accuracy": entries}}}
            (folder / dataset / f"{key}_accuracy.json").write_text(json.dumps(content))
        matrices = {str(i): [[i, 1], [2, 3]] for i in CLASSES}
        (folder / dataset / "clean_cm.json").write_text(json.dumps({dataset: {"clean": {"cm": matrices}}}))
    return folder


def robbench_entry(dataset, index, seeds):
    keys = [f"val_{attack}_{eps}_acc" for attack in ("fgsm", "pgd") for eps in ("8.0", "3.0")]
    entry = {key: {seed: value(index, dataset, key, seed) for seed in seeds} for key in ("val_acc", *keys)}
    return entry | {"autoattack": value(index, dataset, "aa")}


def write_robbench(path, datasets=("cifar10", "imagenet"), seeds=("1", "2", "3", "threeseed"), classes=CLASSES):
    content = {dataset: {str(i): robbench_entry(dataset, i, seeds) for i in classes} for dataset in datasets}
    path.write_text(json.dumps(content))
    return path


NO_CLASS = next(index for index in range(COUNT) if isomorphs()[index] != index)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("tables")
    write_robustness_data(root / "robustness-data")
    write_robbench(root / FILE_NAME)
    return root


@pytest.fixture(scope="module")
def robustness(folder):
    return RobustnessDataset(folder / "robustness-data", folder / "cache")


@pytest.fixture(scope="module")
def robbench(folder):
    return NasRobBench201(folder, folder / "cache")


@pytest.mark.slow
@examples(40)
@given(index=st.integers(0, COUNT - 1), dataset=st.sampled_from(["cifar10", "imagenet16_120"]))
def test_robustness_dataset_gives_what_was_written(robustness, index, dataset):
    written = {"imagenet16_120": "ImageNet16-120"}.get(dataset, dataset)
    uid = int(isomorphs()[index])
    assert robustness.query(index, dataset, "clean") == value(uid, written, "clean")
    assert robustness.query(string_at(index), dataset, "clean") == value(uid, written, "clean")
    genotype = Nasbench201Space().genotype(index)
    assert robustness.query(genotype, dataset, "pgd", eps=0.5 / 255) == value(uid, written, "pgd@Linf", 0.5)
    assert robustness.query(index, dataset, "square", eps=8 / 255) == value(uid, written, "aa_square@Linf", 8.0)
    assert robustness.query(index, dataset, "snow", severity=4) == value(uid, written, "snow", 4)
    assert robustness.query_many(np.array([index]), dataset, "clean_cm").tolist() == [[[uid, 1], [2, 3]]]


@pytest.mark.slow
@examples(40)
@given(index=st.integers(0, COUNT - 1), dataset=st.sampled_from(["cifar10", "imagenet16_120"]))
def test_nas_robbench_201_gives_what_was_written(robbench, index, dataset):
    written = {"imagenet16_120": "imagenet"}.get(dataset, dataset)
    uid = int(isomorphs()[index])
    assert robbench.query(index, dataset, "clean") == value(uid, written, "val_acc", "threeseed")
    assert robbench.query(index, dataset, "clean", seed=2) == value(uid, written, "val_acc", "2")
    assert robbench.query(index, dataset, "pgd", eps=8 / 255) == value(uid, written, "val_pgd_8.0_acc", "threeseed")
    assert robbench.query(index, dataset, "fgsm", eps=3 / 255, seed=3) == value(uid, written, "val_fgsm_3.0_acc", "3")
    assert robbench.query(index, dataset, "autoattack") == value(uid, written, "aa")


def test_names_levels_and_who_wrote_them(robustness, robbench):
    assert robustness.datasets == robbench.datasets == ("cifar10", "imagenet16_120")
    assert robustness.metrics("cifar10") == ("clean", "pgd", "square", "snow", "clean_cm")
    assert set(robbench.metrics("cifar10")) == {"clean", "fgsm", "pgd", "autoattack"}
    (eps,) = robustness.axes("cifar10", "pgd")
    assert (eps.name, eps.choices) == ("eps", "0.1/255, 0.5/255, 1/255")
    assert [axis.choices for axis in robbench.axes("cifar10", "pgd")] == ["3/255, 8/255", "1, 2, 3, mean"]
    assert len(CORRUPTIONS) == 15
    for benchmark in (robustness, robbench):
        assert "ICLR" in benchmark.citation


def test_many_at_once_equals_one_at_a_time(robbench):
    indices = np.array([[0, 55, 659], [15624, 13433, 55]])
    found = robbench.query_many(indices, "cifar10", "pgd", eps=3 / 255)
    assert found.shape == indices.shape
    for index, accuracy in zip(indices.ravel(), found.ravel(), strict=True):
        assert robbench.query(int(index), "cifar10", "pgd", eps=3 / 255) == accuracy
    assert robbench.query_many(np.array([], dtype=int), "cifar10", "clean").shape == (0,)


def test_a_million_queries_take_less_than_a_second(robbench):
    indices = np.random.default_rng(0).integers(0, COUNT, 1_000_000)
    robbench.query_many(indices[:1], "cifar10", "pgd", eps=8 / 255)
    start = time.process_time()
    robbench.query_many(indices, "cifar10", "pgd", eps=8 / 255)
    assert time.process_time() - start < 1


REFUSED_QUERIES = [
    (
        lambda r, w: r.query(0, "cifar100", "clean"),
        DataError,
        r"clean on cifar100 .*clean_accuracy\.json, found nothing. Get cifar100\.zip from .*robustness\.vision.*Jung",
    ),
    (lambda r, w: r.query(0, "cifar10", "fgsm", eps=1 / 255), DataError, r"fgsm@Linf_accuracy\.json, found nothing"),
    (
        lambda r, w: r.query(0, "cifar11", "clean"),
        ConfigError,
        r"unknown data set 'cifar11'; choose from cifar10, .*nearest: cifar10",
    ),
    (
        lambda r, w: w.query(0, "imagenet", "clean"),
        ConfigError,
        r"unknown data set 'imagenet'.*nearest: imagenet16_120",
    ),
    (lambda r, w: r.query(0, "cifar10", "pdg"), ConfigError, r"unknown metric 'pdg'.*nearest: pgd"),
    (lambda r, w: w.query(0, "cifar10", "square", eps=8 / 255), ConfigError, r"unknown metric 'square'; choose from"),
    (lambda r, w: r.query(0, "cifar10", "pgd"), ConfigError, r"measured at `eps` 0\.1/255, 0\.5/255, 1/255; got None"),
    (
        lambda r, w: r.query(0, "cifar10", "pgd", eps=8),
        ConfigError,
        r"got 8\. `eps` is in \[0, 1\] pixel units: did you mean 8/255\?",
    ),
    (lambda r, w: w.query(0, "cifar10", "pgd", eps=4 / 255), ConfigError, r"`eps` 3/255, 8/255; got 0\.0156"),
    (lambda r, w: w.query(0, "cifar10", "clean", eps=8 / 255), ConfigError, r"clean on cifar10 .* has no `eps`"),
    (lambda r, w: w.query(0, "cifar10", "autoattack", seed=1), ConfigError, r"has no `seed`"),
    (lambda r, w: w.query(0, "cifar10", "clean", seed=4), ConfigError, r"`seed` 1, 2, 3, mean; got 4"),
    (lambda r, w: r.query(0, "cifar10", "snow"), ConfigError, r"`severity` 1, 2, 3, 4, 5; got None"),
    (lambda r, w: r.query(0, "cifar10", "snow", severity=6), ConfigError, r"`severity` 1, 2, 3, 4, 5; got 6"),
    (
        lambda r, w: r.query(0, "cifar10", "clean_cm"),
        ConfigError,
        r"array of shape \(2, 2\) an architecture: use `query_many`",
    ),
    (lambda r, w: w.query(COUNT, "cifar10", "clean"), GenotypeError, r"0 to 15624, got 15625"),
    (lambda r, w: w.query("|none~0|", "cifar10", "clean"), GenotypeError, r"architecture string"),
    (
        lambda r, w: w.query_many(np.array([0, COUNT]), "cifar10", "clean"),
        GenotypeError,
        r"from 0 to 15624, got 0 to 15625",
    ),
    (lambda r, w: w.query_many(np.array([-1]), "cifar10", "clean"), GenotypeError, r"got -1 to -1"),
    (lambda r, w: w.query_many(np.array([0.5]), "cifar10", "clean"), GenotypeError, r"whole numbers .* got float64"),
]


@pytest.mark.parametrize(("query", "error", "message"), REFUSED_QUERIES, ids=range(len(REFUSED_QUERIES)))
def test_refused_queries(robustness, robbench, query, error, message):
    with pytest.raises(error, match=message):
        query(robustness, robbench)


def test_missing_files_say_what_to_get_and_whom_to_cite(tmp_path):
    with pytest.raises(
        DataError, match=r"NAS-RobBench-201_all\.json, found nothing. Get NAS-RobBench-201_all\.json from .*cite: Wu"
    ):
        NasRobBench201(tmp_path)
    with pytest.raises(DataError, match=r"meta\.json .* found nothing. Get meta\.zip .* from .*cite: Jung"):
        RobustnessDataset(tmp_path)


REFUSED_ROBBENCH = [
    (lambda text: text[:300], r"something else .*truncated\? Download it again"),
    (lambda text: "", r"something else"),
    (lambda text: "[1, 2]", r"expected data sets at the top"),
    (lambda text: '{"cifar10": {}}', r"expected an entry for every architecture, got none"),
    (lambda text: '{"cifar10": {"55": {}, "659x": {}}}', r"indices of architectures as keys"),
    (
        lambda text: f'{{"cifar10": {{"{NO_CLASS}": {{"val_acc": {{"1": 0.5}}}}}}}}',
        rf"architecture {NO_CLASS} stands for no",
    ),
    (lambda text: '{"cifar10": {"0": {"val_acc": {"1": 51.5}}}}', r"accuracies in \[0, 1\], got 51\.5"),
    (lambda text: '{"cifar10": {"0": {"val_acc": {"1": "high"}}}}', r"a number as val_acc of seed '1', got 'high'"),
    (lambda text: '{"cifar10": {"0": 0.5}}', r"metrics for every architecture, got float"),
]


@pytest.mark.parametrize(("damage", "message"), REFUSED_ROBBENCH, ids=range(len(REFUSED_ROBBENCH)))
def test_damaged_robbench_files(tmp_path, damage, message):
    path = tmp_path / FILE_NAME
    write_robbench(path, ("cifar10",), ("1",), CLASSES[:3])
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=message):
        NasRobBench201(path, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.npy"))


PGD = "cifar10/pgd@Linf_accuracy.json"
REFUSED_ROBUSTNESS = [
    (PGD, lambda text: text[:-5], r"truncated"),
    (PGD, lambda text: text.replace("pgd@Linf", "fgsm@Linf"), r"the key 'pgd@Linf' at \['cifar10'\], got 'fgsm@Linf'"),
    (PGD, lambda text: text.replace('"0": [', '"0": [0.5, '), r"numbers of the same shape"),
    (PGD, lambda text: json.dumps({"cifar10": {"pgd@Linf": {"accuracy": {"0": [0.1, 0.2]}}}}), r"expected 3 numbers"),
    (
        PGD,
        lambda text: json.dumps({"cifar10": {"pgd@Linf": {"accuracy": {"0": None}}}}),
        r"expected numbers .* got object",
    ),
    (PGD, lambda text: text.replace("0.0", "1.5"), r"accuracies in \[0, 1\]"),
    ("meta.json", lambda text: text.replace("nor_conv_3x3", "nor_conv_5x5"), r"architecture \d+ is .*nor_conv_5x5"),
    ("meta.json", lambda text: text.replace('"epsilons"', '"eps"'), r"the key 'epsilons' at the top"),
    (
        "meta.json",
        lambda text: text.replace('"0": {', '"zero": {', 1),
        r"architecture zero is .*, and None of class None in NAS-Bench-201",
    ),
]


@pytest.mark.parametrize(("file", "damage", "message"), REFUSED_ROBUSTNESS, ids=range(len(REFUSED_ROBUSTNESS)))
def test_damaged_robustness_files(tmp_path, file, damage, message):
    folder = write_robustness_data(tmp_path / "data", ("cifar10",))
    (folder / file).write_text(damage((folder / file).read_text()))
    with pytest.raises(DataError, match=message):
        RobustnessDataset(folder, tmp_path / "cache").query(0, "cifar10", "pgd", eps=1 / 255)


def test_an_incomplete_table_names_the_first_architecture_it_lacks(tmp_path):
    present = CLASSES[:100]
    benchmark = NasRobBench201(write_robbench(tmp_path / "part.json", ("cifar10",), ("1",), present), tmp_path)
    assert benchmark.query(present[7], "cifar10", "clean") == value(present[7], "cifar10", "val_acc", "1")
    lacking = CLASSES[100]
    with pytest.raises(DataError, match=rf"no clean on cifar10 for architecture {lacking} \(class {lacking}\)"):
        benchmark.query_many(np.array([present[0], lacking]), "cifar10", "clean")
    assert np.isfinite(benchmark.of_classes("cifar10", "clean")).sum() == len(present)


def test_without_a_published_mean_it_is_computed(tmp_path):
    path = write_robbench(tmp_path / "seeds.json", ("cifar10",), ("1", "2"), CLASSES[:5])
    benchmark = NasRobBench201(path, tmp_path / "cache")
    for index in CLASSES[:5]:
        runs = [benchmark.query(index, "cifar10", "pgd", eps=8 / 255, seed=seed) for seed in (1, 2)]
        assert benchmark.query(index, "cifar10", "pgd", eps=8 / 255) == pytest.approx(sum(runs) / 2)


def arrays(cache):
    return {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}


def test_conversion_happens_once_and_a_changed_source_is_noticed(tmp_path):
    path, cache = tmp_path / FILE_NAME, tmp_path / "cache"
    write_robbench(path, ("cifar10",), ("1",), CLASSES[:50])
    before = NasRobBench201(path, cache).query(0, "cifar10", "clean")
    first = arrays(cache)
    assert len(first) == 4
    NasRobBench201(path, cache)
    assert arrays(cache) == first
    os.utime(path, ns=(1, 1))  # another time, the same content
    NasRobBench201(path, cache)
    assert arrays(cache) == first
    path.write_text(path.read_text().replace(f'"val_acc": {{"1": {before}}}', '"val_acc": {"1": 0.123}', 1))
    assert NasRobBench201(path, cache).query(0, "cifar10", "clean") == 0.123
    assert len(arrays(cache)) == 4
    assert not arrays(cache).keys() & first.keys()


@pytest.mark.parametrize("damage", ["truncate", "remove", "index", "version"])
def test_a_damaged_cache_is_made_again(tmp_path, damage):
    path, cache = write_robbench(tmp_path / FILE_NAME, ("cifar10",), ("1",), CLASSES[:9]), tmp_path / "cache"
    expected = NasRobBench201(path, cache).query(0, "cifar10", "clean")
    array = next(path for path in arrays(cache) if ".clean." in path.name)
    index = next(cache.rglob("index.json"))
    if damage == "truncate":
        array.write_bytes(array.read_bytes()[:200])
    elif damage == "remove":
        array.unlink()
    else:
        index.write_text(
            '{"schema": ' if damage == "index" else index.read_text().replace('"version": 1', '"version": 0')
        )
    assert NasRobBench201(path, cache).query(0, "cifar10", "clean") == expected


def test_a_cache_that_cannot_be_written_is_a_clear_error(tmp_path):
    path = write_robbench(tmp_path / FILE_NAME, ("cifar10",), ("1",), CLASSES[:3])
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(DataError, match=r"Can't write converted tables.*`cache`"):
        NasRobBench201(path, tmp_path / "cache")


@pytest.mark.slow
def test_verdict_ranks_among_classes(robbench, robustness):
    rows = verdict(13433, robbench, "cifar10")
    assert [row.label for row in rows] == [
        "clean",
        *("fgsm 3/255", "fgsm 8/255", "pgd 3/255", "pgd 8/255", "autoattack"),
    ]
    for row in rows:
        accuracies = sorted(
            (robbench.query(index, "cifar10", row.metric, eps=row.eps) for index in CLASSES), reverse=True
        )
        assert row.accuracy == robbench.query(13433, "cifar10", row.metric, eps=row.eps)
        assert row.rank == accuracies.index(row.accuracy) + 1
        assert (row.best, row.classes) == (accuracies[0], 6466)
        assert row.regret == accuracies[0] - row.accuracy
        assert robbench.query(row.best_architecture, "cifar10", row.metric, eps=row.eps) == row.best
        assert (row.telling, row.headline) == (True, row.label == "pgd 8/255")
    (clean, at_half, at_one) = verdict(string_at(50), robustness, "cifar10", eps=[0.5 / 255, 1 / 255])
    assert (clean.metric, at_half.eps, at_one.label) == ("clean", 0.5 / 255, "pgd 1/255")
    assert [(row.telling, row.headline) for row in (clean, at_half, at_one)] == [
        (True, False),
        (False, False),
        (True, True),
    ]
