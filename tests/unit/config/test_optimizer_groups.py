"""Optimisers and schedules are chosen whole: what takes another one's place has its own keys alone."""

from itertools import cycle, islice

import pytest
import yaml

from dsrna.config.catalog import choices, conf_folder
from dsrna.config.compose import compose, settings_from
from dsrna.config.validate import validate
from dsrna.errors import ConfigError
from dsrna.tables.settings import benchmark_training_settings

PLACES = {
    "optimizer": ("search.weights_optimizer", "search.alphas_optimizer", "retrain.optimizer", "certified.optimizer"),
    "schedule": ("search.weights_schedule", "retrain.schedule", "certified.schedule"),
}
OF_PROBABILITIES = "exponentiated_gradient"
"""Moves the alphas of strategy=gaea, and nothing else."""
FREE = {group: [choice for choice in choices(group) if choice != OF_PROBABILITIES] for group in PLACES}
WHOLE_CONFIGS = ("experiment", "usual", "recipe", "sizes")


def own(group, choice):
    """What a choice's file says, and the one that it is made from."""
    node = yaml.safe_load((conf_folder() / group / f"{choice}.yaml").read_text())
    (base,) = node.pop("defaults", [None])
    return (own(group, base) if base else {}) | node


def at(config, place):
    for name in place.split("."):
        config = config[name]
    return dict(config)


def combinations():
    """Every optimiser and every schedule at every place, several places at once."""
    for shift in range(max(map(len, FREE.values()))):
        yield {
            (group, place): next(islice(cycle(FREE[group]), shift + number, None))
            for group, places in PLACES.items()
            for number, place in enumerate(places)
        }


def test_every_choice_is_tried_at_every_place():
    tried = {(*where, choice) for chosen in combinations() for where, choice in chosen.items()}
    assert tried == {(g, place, choice) for g, places in PLACES.items() for place in places for choice in FREE[g]}


@pytest.mark.slow
@pytest.mark.parametrize("chosen", list(combinations()), ids=lambda chosen: "-".join(chosen.values()))
def test_what_takes_a_place_has_its_own_keys_alone(chosen):
    config = compose("search", [f"{group}@{place}={choice}" for (group, place), choice in chosen.items()])
    settings = settings_from(config)
    validate(settings)
    assert {key: at(config, key[1]) for key in chosen} == {key: own(key[0], choice) for key, choice in chosen.items()}


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [[], ["+experiment=cifar10_jacobian"]], ids=["", "experiment"])
def test_gaea_brings_its_optimiser_whatever_is_usual(experiment):
    config = compose("search", [*experiment, "strategy=gaea"])
    validate(settings_from(config))
    assert at(config, "search.alphas_optimizer") == own("optimizer", OF_PROBABILITIES)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES["optimizer"])
def test_the_exponentiated_gradient_is_for_probabilities(place):
    with pytest.raises(ConfigError, match=rf"these parameters hold none.*\(conf: {place}\)"):
        validate(settings_from(compose("search", [f"optimizer@{place}={OF_PROBABILITIES}"])))


@pytest.mark.slow
def test_gaea_is_for_the_exponentiated_gradient():
    chosen = ["strategy=gaea", "optimizer@search.alphas_optimizer=adam_alphas"]
    with pytest.raises(ConfigError, match=r"Adam would make it DARTS.*\(conf: search.alphas_optimizer\)"):
        validate(settings_from(compose("search", chosen)))


@pytest.mark.parametrize("file", sorted(p for group in WHOLE_CONFIGS for p in (conf_folder() / group).glob("*.yaml")))
def test_no_config_sets_single_keys_that_another_choice_would_inherit(file):
    node = yaml.safe_load(file.read_text()) or {}
    for places in PLACES.values():
        for place in places:
            stage, _, name = place.partition(".")
            assert name not in node.get(stage, {}), f"{file}: choose {place} by a group"


@pytest.mark.parametrize("swapped", ["optimizer@retrain.optimizer=adamw", "schedule@retrain.schedule=cosine"])
@pytest.mark.parametrize("base", ["+experiment=cifar10_jacobian_small", "+experiment=mnist_certified", "data=imagenet"])
def test_experiments_and_data_sets_leave_nothing_behind(base, swapped):
    place, _, choice = swapped.partition("=")
    group, _, key = place.partition("@")
    assert at(compose("search", [base, swapped]), key) == own(group, choice)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", choices("recipe"))
def test_recipes_leave_nothing_behind(recipe):
    typed = ["arch=1", f"recipe={recipe}", "optimizer@retrain.optimizer=adam", "schedule@retrain.schedule=one_cycle"]
    retrain = benchmark_training_settings(compose("benchmark_train", typed)).retrain
    assert (retrain.optimizer, retrain.schedule) == (own("optimizer", "adam"), own("schedule", "one_cycle"))
