import copy
import re
from functools import cache

import pytest
import yaml
from omegaconf import OmegaConf

from dsrna.config.compose import compose, settings_from
from dsrna.config.validate import eps_curve, threat_of, validate, validated, verification
from dsrna.errors import ConfigError
from dsrna.querying.settings import query_settings
from dsrna.ranking.settings import rank_settings
from dsrna.tables.settings import benchmark_training_settings


def settings_of(*overrides):
    return settings_from(compose("search", list(overrides)))


def problems_of(*overrides):
    with pytest.raises(ConfigError) as caught:
        validated(compose("search", list(overrides)))
    return str(caught.value)


def problems(*overrides):
    with pytest.raises(ConfigError) as caught:
        validate(settings_of(*overrides))
    return str(caught.value)


@pytest.mark.slow
def test_every_problem_is_listed_once():
    text = problems("seed=-1", "retrain.epochs=0", "threat.eps=8", "metric.norm=l3")
    assert text.startswith("4 settings are wrong:\n")
    lines = text.splitlines()[1:]
    assert len(lines) == 4
    for key in ("seed", "retrain.epochs", "threat.eps", "metric.norm"):
        assert sum(f"(conf: {key})" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("read", "entry", "overrides", "keys"),
    [
        (
            validated, "search",
            ["serach.epochs=3", "search.epcohs=3", "metric.projektions=1", "threat.eps=8", "search.warmup_epochs=99",
             "stages=[search,evaluate]", "data.root=x"],
            ["serach", "search.epcohs", "metric.projektions", "threat.eps", "search.warmup_epochs", "stages",
             "data.root"],
        ),
        (rank_settings, "rank", ["n=x", "space=darts", "benchmark.eps=7"], ["n", "space", "benchmark.eps"]),
        (
            query_settings, "query", ["seed=-1", "guide=[proxy/croze]", "repeats=0", "method=[nsga2]", "front=[a/b]"],
            ["seed", "guide", "repeats", "front"],
        ),
        (
            benchmark_training_settings, "benchmark_train", ["seed=-1", "threat.norm=l2", "arch=[]"],
            ["seed", "threat.norm", "arch"],
        ),
    ],
)  # fmt: skip
def test_unknown_keys_wrong_values_and_what_does_not_go_together_are_told_at_once(read, entry, overrides, keys):
    with pytest.raises(ConfigError) as caught:
        read(compose(entry, overrides))
    assert sorted(re.findall(r"\(conf: ([\w.]+)\)", str(caught.value))) == sorted(keys)
    assert len(str(caught.value).splitlines()) == len(keys) + 1


def test_what_needs_a_wrong_setting_is_not_judged():
    """Whether 99 epochs of warm-up are too many, and whether an attack is known, whose own setting is wrong."""
    text = problems_of("search.epochs=abc", "search.warmup_epochs=99", "trainer.limits.attacks=[pgd20]",
                       "evaluate.attacks.pgd20.steps=0")  # fmt: skip
    assert text.startswith("2 settings are wrong")


@pytest.mark.slow
def test_one_problem_needs_no_list():
    assert problems("seed=-1") == "Expected a whole number in [0, 2**32), got -1. (conf: seed)"


EDGES = {
    "seed": ([0, 2**32 - 1], [-1, 2**32, True, "1", 1.0]),
    "resume": (["auto", "never"], ["yes", True]),
    "search.epochs": ([1, 1_000_000], [0, -3, 1_000_001, True, "3", 3.0]),
    "data.train_limit": ([None, 1], [0]),
    "data.pixels": ([None, 1], [0]),
    "trainer.limits.epochs": ([None, 1], [0]),
    "data.validation_fraction": ([0.01, 0.99], [0.0, 1.0, float("nan")]),
    "retrain.baseline": ([True], [None, "maybe", 2]),
    "retrain.ema_decay": ([0.0, 0.999], [1.0, -0.1]),
    "retrain.noise": ([0.0, 2.0], [-0.1, "a"]),
    "certified.epochs": ([1], [0]),
    "certified.gradient_clip": ([0.0], [-1.0]),
    "search.gradient_clip": ([0.0], [-1.0]),
    "metric.weight": ([0, 0.01], [-1, "a", None, float("inf"), True]),
    "metric.warmup_epochs": ([0, 5], [-1, 1.5, None]),
    "trainer.threads": (["auto", 1], [0, True, "two"]),
    "trainer.precision": (["32-true", "bf16-mixed"], ["16-mixed", "16-true", "32"]),
    "name": (["a", "b-1.c_d"], ["", "a/b", "a b", "..", ".", None, 3]),
    "stages": ([["search"], ["search", "retrain"]], [[], ["search", "search"], "search"]),
    "from": ([None, "DARTS_V2", 13433], [3.5, True]),
}


@pytest.mark.parametrize("key", EDGES)
def test_the_edges_of_every_range(key):
    good, bad = EDGES[key]
    for value in good:
        settings_from(with_value(key, value))
    for value in bad:
        with pytest.raises(ConfigError, match=rf"^Expected [^\n]*\(conf: {key}\)$"):
            settings_from(with_value(key, value))


@cache
def without_warmup():
    return compose("search", ["search.warmup_epochs=0"])


def with_value(key, value):
    """A valid config with one value put in place, past the parsing of a command line."""
    config = copy.deepcopy(without_warmup())
    OmegaConf.update(config, key, value)
    return config


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("search.epcohs", "search.epochs"),
        ("data.augmentation.crop_paddin", "data.augmentation.crop_padding"),
        ("threat.epss", "threat.eps"),
        ("serach", "search"),
    ],
)
def test_unknown_keys_are_named_with_the_nearest_one(key, nearest):
    config = copy.deepcopy(without_warmup())
    OmegaConf.update(config, key, "x", force_add=True)
    with pytest.raises(ConfigError, match=rf"^Unknown key `{key}`\. Did you mean `{nearest}`\?"):
        settings_from(config)


@pytest.mark.parametrize("flag", [True, 1, "on", "yes"])
def test_what_people_write_for_true(flag):
    assert settings_from(with_value("retrain.baseline", flag)).retrain.baseline is True


def test_settings_are_what_they_were_written_as():
    """Fingerprints of older runs are of that: whole numbers and fractions of radii stay."""
    typed = ["threat.eps=8/255", "evaluate.eps_curve=[0,8/255]", "metric.weight=1", "retrain.gradient_clip=5"]
    plain = settings_of(*typed).model_dump()
    assert plain["threat"] == {"norm": "linf", "eps": "8/255"}
    assert plain["evaluate"]["eps_curve"] == [0, "8/255"]
    assert repr([plain["metric"]["weight"], plain["retrain"]["gradient_clip"]]) == "[1, 5.0]"


@pytest.mark.slow
def test_the_curve_is_spread_over_the_threat():
    assert eps_curve(settings_of("threat.eps=0.2")) == pytest.approx([0.05, 0.1, 0.2, 0.3, 0.4, 0.6])
    assert eps_curve(settings_of("threat.eps=0.5"))[-1] == 1.0, "l_inf ends where every image is in the ball"
    assert eps_curve(settings_of("threat=l2", "threat.eps=0.5"))[-1] == 1.5
    assert eps_curve(settings_of("evaluate.eps_curve=[0,8/255]")) == [0, 8 / 255]


@pytest.mark.slow
def test_verification_takes_norm_and_radii_of_the_threat_unless_given_others():
    assert verification(settings_of()) is None
    auto = verification(settings_of("evaluate=certified", "threat=l2", "threat.eps=0.5", "evaluate.eps_curve=[0,1]"))
    assert (auto.norm, auto.eps) == ("l2", (0.5, 1.0))
    given = verification(settings_of("evaluate=certified", "evaluate.verify.norm=l2", "evaluate.verify.eps=[128/255]"))
    assert (given.norm, given.eps) == ("l2", (128 / 255,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("engines=[crwon]", "nearest: crown"),
        ("norm=l2", "threat model"),
        ("eps=[0.1,8]", "did you mean 8/255"),
        ("batch_size=0", ">= 1"),
        ("seconds_per_image=-1", "above 0"),
    ],
)
def test_wrong_settings_of_the_verification_are_named(override, says):
    text = problems("evaluate=certified", f"evaluate.verify.{override}")
    assert says in text
    key = "eps" if override == "norm=l2" else override.partition("=")[0]
    assert f"(conf: evaluate.verify.{key})" in text


def test_the_threat_is_read_once_for_all():
    threat = threat_of(settings_of("threat=l2", "threat.eps=128/255"))
    assert (threat.norm, threat.eps) == ("l2", 128 / 255)


@pytest.mark.slow
def test_the_metrics_own_node_has_no_common_keys():
    node = settings_of().metric.part
    assert node["_target_"].endswith("JacobianNorm")
    assert not {"weight", "warmup_epochs", "weight_schedule"} & set(node)


@cache
def with_metric(metric):
    return compose("search", [f"metric={metric}"])


@pytest.mark.parametrize("metric", ["certified", "combined"])
@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "metric.engine=crown",
            "Expected 'ibp' or 'crown_ibp', got 'crown'. Did you mean `crown_ibp`? (conf: metric.engine)",
        ),
        ("metric.eps=8", "Expected `eps` to be `auto` or a radius in (0, 1], got 8. (conf: metric.eps)"),
        ("metric.eps=null", "Expected a finite number or 'auto', got null. (conf: metric.eps)"),
        ("metric.eps_start=0.1", "got `eps_start: 0.1` as well"),
        ("metric.eps=0.1 metric.eps_stop=2", "got 0.0 and 2. (conf: metric.eps_stop)"),
        ("metric.bisection_steps=0", "Expected `bisection_steps` >= 1, got 0. (conf: metric.bisection_steps)"),
        ("metric.bisection_steps=many", "(conf: metric.bisection_steps)"),
        ("metric.batch_norm=batch", "`batch_norm: running`. (conf: metric.batch_norm)"),
        ("metric.form=radii", "got 'radii'. Did you mean `radius`? (conf: metric.form)"),
        ("metric.redution=mean", "has no setting `redution`. Did you mean `reduction`?"),
    ],
)
def test_bad_values_of_a_bounds_metric(metric, override, message):
    config = copy.deepcopy(with_metric(metric))
    for key, _, value in (each.partition("=") for each in override.split()):
        OmegaConf.update(config, key, yaml.safe_load(value), force_add=True)
    with pytest.raises(ConfigError) as caught:
        validate(settings_from(config))
    assert message in str(caught.value)


@pytest.mark.slow
def test_the_certified_metric_takes_the_norm_of_the_threat_and_fractions():
    node = settings_of("metric=certified", "threat=l2", "metric.eps=1/255").metric.part
    assert node["norm"] == "l2"
    assert node["eps"] == 1 / 255


@pytest.mark.slow
def test_warm_up_only_matters_where_there_is_a_search():
    assert "search.warmup_epochs" in problems("search.warmup_epochs=20")
    validate(settings_of("search.warmup_epochs=20", "stages=[retrain]"))


@pytest.mark.slow
def test_a_regulariser_that_makes_no_sense_is_refused_with_its_key():
    text = problems("regulariser=[operation_dropout]", "regulariser.operation_dropout.operations=[skip]")
    assert text.startswith("unknown operation 'skip'")
    assert text.endswith("(conf: regulariser.operation_dropout.operations)")
