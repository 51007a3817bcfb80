"""What a sweep maximises is measured on validation images, and known before any work."""

import pytest
from hydra.core.config_store import ConfigStore

from dsrna.config.compose import compose, settings_from
from dsrna.config.sweep_objective import known_objectives, refuse_mixed, sweep_objective
from dsrna.config.validate import validated
from dsrna.errors import ConfigError
from dsrna.runs.jobs import jobs_of
from dsrna.tables.settings import benchmark_training_settings


def objective_of(*overrides, entry="search"):
    return sweep_objective(validated(compose(entry, list(overrides))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "typed", "key"),
    [
        ("search", [], "retrain/val/acc_adv"),
        ("retrain", ["from=DARTS_V2"], "retrain/val/acc_adv"),
        ("search", ["objective=standard"], "retrain/val/acc_adv"),
        ("search", ["stages=[search]"], "search/val/score"),
        ("search", ["stages=[search]", "metric=none"], "search/val/acc"),
        ("search", ["stages=[search]", "metric.warmup_epochs=16"], "search/val/acc"),  # it never counts
        ("search", ["stages=[search]", "metric.warmup_epochs=15"], "search/val/score"),
        ("search", ["stages=[search]", "metric.warmup_epochs=1", "trainer=debug"], "search/val/acc"),
        ("search", ["stages=[search]", "sweep_objective=search/val/acc"], "search/val/acc"),
        ("search", ["retrain.certified=true", "sweep_objective=certified/val/acc_adv"], "certified/val/acc_adv"),
        ("search", ["objective=ibp", "sweep_objective=retrain/val/acc_certified"], "retrain/val/acc_certified"),
        ("search", ["sweep_objective=null"], None),
        ("evaluate", ["from=run"], None),
    ],
)  # fmt: skip
def test_the_objective_is_the_usual_one_or_the_one_named(entry, typed, key):
    assert objective_of(*typed, entry=entry) == key


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["sweep_objective=retrain/val/acc_avd"], "Did you mean `retrain/val/acc_adv`.*Choose from: retrain/val/acc"),
        (["sweep_objective=retrain/test/acc_pgd20_linf"], "The test split chooses nothing: maximise one of retrain"),
        (["sweep_objective=test"], "The test split chooses nothing"),
        (["sweep_objective=search/val/loss"], "higher = better, got 'search/val/loss'"),
        (["sweep_objective=certified/val/acc_certified"], "Choose from"),
        (["sweep_objective=retrain/val/acc_certified"], "Choose from"),
        (["sweep_objective=retrain/val/acc_adv", "stages=[search]"], "Choose from: search/val/score, search/val/acc"),
        (["sweep_objective=search/val/score", "metric=none"], "Choose from"),
        (["sweep_objective=[1]"], r"got \[1\].*Choose from: retrain/val/acc_adv"),
    ],
)  # fmt: skip
def test_a_number_that_the_run_does_not_measure_is_refused_with_those_that_it_does(typed, says):
    with pytest.raises(ConfigError, match=rf"{says}.*\(conf: sweep_objective\)"):
        objective_of(*typed)


@pytest.mark.slow
def test_an_evaluation_gives_a_sweep_nothing():
    with pytest.raises(ConfigError, match="Its stages measure none"):
        objective_of("from=run", "sweep_objective=retrain/val/acc_adv", entry="evaluate")
    with pytest.raises(ConfigError, match=r"\(conf: sweep_objective\)"):
        benchmark_training_settings(compose("benchmark_train", ["arch=1", "sweep_objective=retrain/val/acc_adv"]))


@pytest.mark.slow
def test_no_known_objective_is_of_the_test_split_or_a_loss():
    every = known_objectives(settings_from(compose("search", ["retrain.certified=true", "objective=ibp"])))
    assert len(every) == len(set(every)) == 8
    assert all(key.split("/")[1] == "val" and "loss" not in key for key in every)


@pytest.mark.slow
def test_a_sweeper_that_maximises_compares_one_number():
    jobs = jobs_of("search", ["metric=none,jacobian", "stages=[search]"]).overrides
    every = [settings_from(compose("search", job)) for job in jobs]
    with pytest.raises(ConfigError, match="different numbers, search/val/acc, search/val/score"):
        refuse_mixed(every)
    refuse_mixed([settings_from(compose("search", [*job, "sweep_objective=search/val/acc"])) for job in jobs])


@pytest.mark.slow
def test_intervals_are_known_to_other_sweepers_alone():
    """Both ends are checked before the first job, however the sweeper was chosen."""
    ConfigStore.instance().store("other", {"_target_": "hydra_plugins.other.Other"}, group="hydra/sweeper")
    swept = ["metric.weight=interval(0.001,0.1)", "seed=0"]
    jobs = jobs_of("search", ["hydra/sweeper=other", *swept])
    assert [job[1:] for job in jobs.overrides] == [["metric.weight=0.001", "seed=0"], ["metric.weight=0.1", "seed=0"]]
    assert jobs.may_be_compared
    assert jobs_of("search", ["hydra.sweeper._target_=hydra_plugins.other.Other", *swept]).may_be_compared
    assert not jobs_of("search", ["seed=0,1"]).may_be_compared
    with pytest.raises(ConfigError, match="INTERVAL"):
        jobs_of("search", swept)
    with pytest.raises(ConfigError, match=r"is the plugin that brings it installed\? \(conf: hydra/sweeper\)"):
        jobs_of("search", ["hydra/sweeper=optuna", *swept])
