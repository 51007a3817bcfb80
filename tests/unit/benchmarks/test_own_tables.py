"""Tables in the original layouts, read back by the readers of the published ones."""

import json

import pytest

from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.benchmarks.own_tables import TrainedNetwork, check_layout, write_table
from dsrna.benchmarks.robustness_dataset import CORRUPTIONS, RobustnessDataset
from dsrna.errors import ConfigError
from dsrna.spaces.nasbench201.index import isomorphs, string_at


def network(index, seed, shift=0.0, eps=(3 / 255, 8 / 255)):
    attacks = {name: {radius: 0.5 + shift - radius for radius in eps} for name in ("fgsm", "pgd")}
    return TrainedNetwork(index, seed, 0.9 + shift, attacks)


ISOMORPHIC = next(index for index in range(15625) if isomorphs()[index] != index)


def test_nas_robbench_201_comes_back_by_run_and_as_a_mean(tmp_path):
    networks = [network(index, seed, seed / 100) for index in (13, ISOMORPHIC) for seed in (1, 2, 3)]
    networks = [
        TrainedNetwork(n.index, n.seed, n.clean, n.attacks | {"autoattack": {8 / 255: n.clean / 3}}) for n in networks
    ]
    path = write_table(networks, "nas_robbench_201", "cifar10", tmp_path)
    table = NasRobBench201(path, cache=tmp_path / "cache")
    assert table.datasets == ("cifar10",)
    assert set(table.metrics("cifar10")) == {"clean", "fgsm", "pgd", "autoattack"}
    for one in networks:
        for architecture in (one.index, string_at(one.index), int(isomorphs()[one.index])):
            assert table.query(architecture, "cifar10", "clean", seed=one.seed) == pytest.approx(one.clean)
            for eps in (3 / 255, 8 / 255):
                found = table.query(architecture, "cifar10", "pgd", eps, seed=one.seed)
                assert found == pytest.approx(one.attacks["pgd"][eps])
    assert table.query(13, "cifar10", "clean") == pytest.approx(0.92)
    assert table.query(13, "cifar10", "autoattack") == pytest.approx(0.92 / 3)
    keys = json.loads(path.read_text())["cifar10"]["13"].keys()
    published = {"val_acc", "val_fgsm_3.0_acc", "val_fgsm_8.0_acc", "val_pgd_3.0_acc", "val_pgd_8.0_acc", "autoattack"}
    assert keys == published


@pytest.mark.slow
def test_the_robustness_dataset_comes_back_with_its_grids_and_severities(tmp_path):
    grid = (0.1 / 255, 0.5 / 255, 1.0)
    networks = [
        TrainedNetwork(
            index, 777, 0.8 + index / 1e5,
            {"fgsm": {eps: 0.7 - eps / 2 for eps in grid}, "apgd_ce": {1 / 255: index / 1e5}},
            {name: [0.6 - 0.1 * severity for severity in range(5)] for name in CORRUPTIONS},
        )
        for index in (13, 13433)
    ]  # fmt: skip
    table = RobustnessDataset(write_table(networks, "robustness_dataset", "cifar10", tmp_path), tmp_path / "cache")
    assert table.datasets == ("cifar10",)
    assert set(table.metrics("cifar10")) == {"clean", "fgsm", "apgd_ce", *CORRUPTIONS}
    for one in networks:
        assert table.query(one.index, "cifar10", "clean") == pytest.approx(one.clean)
        for eps in grid:
            assert table.query(one.index, "cifar10", "fgsm", eps) == pytest.approx(one.attacks["fgsm"][eps])
        assert table.query(one.index, "cifar10", "apgd_ce", 1 / 255) == pytest.approx(one.index / 1e5)
        assert table.query(one.index, "cifar10", "fog", severity=4) == pytest.approx(0.3)
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert meta["epsilons"] == {"fgsm@Linf": [0.1, 0.5, 255.0], "aa_apgd-ce@Linf": [1.0]}
    assert meta["ids"]["13433"]["nb201-string"] == string_at(13433)


def test_the_robustness_dataset_has_means_over_runs(tmp_path):
    networks = [TrainedNetwork(13, seed, seed / 10, corruptions={"fog": [seed / 10] * 5}) for seed in (1, 2, 3)]
    table = RobustnessDataset(write_table(networks, "robustness_dataset", "cifar100", tmp_path), tmp_path / "cache")
    assert table.query(13, "cifar100", "clean") == pytest.approx(0.2)
    assert table.query(13, "cifar100", "fog", severity=5) == pytest.approx(0.2)


def test_networks_that_were_measured_differently_make_no_table(tmp_path):
    with pytest.raises(ConfigError, match="2 different ways"):
        write_table([network(1, 1), network(2, 1, eps=(8 / 255,))], "nas_robbench_201", "cifar10", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nasrobbench", "cifar10", [], []), "conf: layout"),
        (("nas_robbench_201", "digits", [], []), "conf: data"),
        (("nas_robbench_201", "cifar10", ["square"], []), "conf: evaluate.grid"),
        (("robustness_dataset", "cifar10", ["autoattack"], []), "conf: evaluate.grid"),
        (("nas_robbench_201", "cifar10", [], ["fog"]), "conf: evaluate.corruptions"),
        (("robustness_dataset", "cifar10", [], ["saturate"]), "conf: evaluate.corruptions"),
    ],
)
def test_what_a_layout_has_no_place_for_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        check_layout(*arguments)
