"""Every file under conf/ composes, has the keys and types of the schema, and is valid."""

import pytest
import yaml

from dsrna.config.catalog import choices, conf_folder, description, groups
from dsrna.config.compose import compose, settings_from
from dsrna.config.query import build_methods, guides_of, query_settings
from dsrna.config.validate import threat_of, validate

GIVEN = {  # what only the user knows
    ("data", "arrays"): ["data.source.path=own.npz"],
    ("experiment", "imagenet_transfer"): ["from=DARTS_V2"],
}
ENTRIES = {("experiment", "imagenet_transfer"): "retrain"}
EVERY = [(group, choice) for group in groups() if group not in ("proxy", "method") for choice in choices(group)]


def settings_of(entry, *overrides):
    settings = settings_from(compose(entry, list(overrides)))
    validate(settings)
    return settings


@pytest.mark.parametrize("entry", ["search", "retrain", "evaluate"])
def test_every_entry_is_valid(entry):
    assert settings_of(entry).stages[0] == entry


@pytest.mark.parametrize(("group", "choice"), EVERY)
def test_every_choice_is_valid(group, choice):
    given = GIVEN.get((group, choice), [])
    plus = "+" if group == "experiment" else ""
    settings = settings_of(ENTRIES.get((group, choice), "search"), f"{plus}{group}={choice}", *given)
    if group == "experiment":
        assert settings.name == choice, "the run folder is named after the experiment"
    assert description(group, choice), "the first comment says what it is"


@pytest.mark.parametrize("experiment", choices("experiment"))
@pytest.mark.parametrize(
    "chosen", ["objective=standard", "objective=trades", "metric=none", "strategy=darts", "threat=l2"]
)
def test_a_part_chosen_on_the_command_line_wins_over_the_experiment(experiment, chosen):
    """Whole, with its own values: neither refused for keys of the experiment's part, nor changed by them."""
    group, _, choice = chosen.partition("=")
    key = ("experiment", experiment)
    config = compose(ENTRIES.get(key, "search"), [f"+experiment={experiment}", chosen, *GIVEN.get(key, [])])
    validate(settings_from(config))
    own = yaml.safe_load((conf_folder() / group / f"{choice}.yaml").read_text())
    assert {name: config[group][name] for name in own} == own


def test_the_two_objectives_are_chosen_apart():
    chosen = ["objective=trades", "objective@certified.objective=crown_ibp", "retrain.certified=true"]
    settings = settings_of("search", "+experiment=digits_certified", *chosen)
    assert settings.objective["_target_"].endswith("Trades")
    assert (settings.certified.objective["engine"], settings.certified.objective["beta_end"]) == ("crown_ibp", 0.0)


def test_the_headline_experiment_is_the_papers():
    """Hosseini et al., CVPR 2021, section 4.1, as far as the paper says; PC-DARTS's warm-up."""
    settings = settings_of("search", "+experiment=cifar10_jacobian")
    search, retrain = settings.search, settings.retrain
    assert (search.epochs, search.batch_size, search.cells, search.channels) == (50, 128, 8, 16)
    assert search.weights_optimizer["lr"] == 0.025
    assert search.alphas_optimizer["lr"] == 3e-4
    assert settings.metric["weight"] == 0.01
    assert settings.strategy["partial_channels"] == 4
    assert search.warmup_epochs == 15
    assert (retrain.cells, retrain.channels) == (20, 36)
    assert threat_of(settings).label == "linf 8/255"
    assert settings.objective["step_size"] == 2 / 255


def test_the_debug_form_limits_everything():
    limits = settings_of("search", "trainer=debug").trainer.limits
    assert None not in vars(limits).values()


@pytest.mark.parametrize("choice", choices("method"))
def test_every_method_of_searching_by_queries_is_valid(choice):
    settings = query_settings(compose("query", [f"method=[{choice}]"]))
    assert list(build_methods(settings)) == [choice]
    assert guides_of(settings) == settings.objectives[:2]
