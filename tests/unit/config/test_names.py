"""A run is named after what it is."""

import pytest

from dsrna.config.compose import compose
from dsrna.errors import ConfigError


@pytest.mark.parametrize(
    ("entry", "typed", "name"),
    [
        ("search", [], "digits_snas_jacobian"),
        ("search", ["metric=none"], "digits_snas"),
        ("search", ["metric=none", "strategy=darts"], "digits_darts"),
        ("search", ["metric=certified", "data=mnist"], "mnist_snas_certified"),
        ("search", ["space=nasbench201", "strategy=darts", "data=cifar10"], "cifar10_nasbench201_darts_jacobian"),
        ("search", ["+experiment=cifar10_jacobian"], "cifar10_jacobian"),
        ("search", ["+experiment=cifar10_jacobian", "seed=3", "metric.weight=0.1"], "cifar10_jacobian"),
        ("search", ["+experiment=cifar10_jacobian", "metric=none"], "cifar10_pcdarts"),
        ("search", ["+experiment=cifar10_jacobian", "data=mnist"], "mnist_pcdarts_jacobian"),
        ("search", ["+experiment=cifar10_jacobian", "metric=none", "name=mine"], "mine"),
        ("search", ["stages=[retrain,evaluate]", "from=DARTS_V2"], "retrain"),
        ("retrain", ["data=mnist"], "retrain"),
        ("evaluate", [], "evaluate"),
        ("retrain", ["+experiment=imagenet_transfer"], "imagenet_transfer"),
        ("retrain", ["+experiment=digits_jacobian", "metric=none"], "retrain"),
        ("rank", ["data=digits"], "rank"),
    ],
)
def test_a_name_comes_from_what_the_run_is(entry, typed, name):
    assert compose(entry, typed).name == name


@pytest.mark.slow
def test_a_run_keeps_to_its_folder():
    """hydra.job.chdir would change what `out`, `from` and data.root mean, and hydra.mode what a job is."""
    with pytest.raises(ConfigError, match=r"relative path.*\(conf: hydra.job.chdir\)"):
        compose("search", ["hydra.job.chdir=true"])
    with pytest.raises(ConfigError, match=r"-m.*\(conf: hydra.mode\)"):
        compose("search", ["hydra.mode=MULTIRUN"])
    assert "hydra" not in compose("search", ["hydra.job.chdir=false"])
