import contextlib
import json

import pytest

from dsrna.config.compose import compose, key_of, settings_from
from dsrna.config.settings import Settings
from dsrna.errors import ConfigError


def settings_of(*overrides):
    return settings_from(compose("search", list(overrides)))


@pytest.mark.slow
def test_overrides_reach_the_settings_with_their_types():
    settings = settings_of("seed=7", "search.epochs=3", "threat.eps=8/255", "objective.step_size=2/255", "out=a/b")
    assert isinstance(settings, Settings)
    assert (settings.seed, settings.search.epochs, settings.out) == (7, 3, "a/b")
    assert settings.objective["step_size"] == 2 / 255
    assert settings.start_from is None


@pytest.mark.slow
def test_an_argument_that_a_part_has_a_default_for_is_given_like_any_other():
    given = settings_of("space.primitives=[none,skip_connect]", "retrain.optimizer.nesterov=true", "space.nodes=2")
    assert given.space == {
        "_target_": "dsrna.spaces.darts.space.DartsSpace", "nodes": 2, "primitives": ["none", "skip_connect"],
    }  # fmt: skip
    assert given.retrain.optimizer["nesterov"] is True


@pytest.mark.slow
def test_a_group_brings_its_own_values():
    jacobian, none = settings_of(), settings_of("metric=none")
    assert jacobian.metric.weight > 0
    assert none.metric.model_dump() == {
        "_target_": "dsrna.metrics.none.NoMetric", "weight": 0.0, "warmup_epochs": 0, "weight_schedule": "constant",
    }  # fmt: skip


@pytest.mark.slow
def test_settings_hold_plain_values_alone():
    """No part ever sees a DictConfig, and a checkpoint may hold any of them."""
    plain = settings_of("+experiment=cifar10_jacobian").model_dump()
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.slow
def test_composing_leaves_hydra_as_it_was():
    from hydra.core.global_hydra import GlobalHydra

    for overrides in ([], ["no.such.key=1"]):
        with contextlib.suppress(ConfigError):
            compose("search", overrides)
        assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize(
    ("override", "key"),
    [("seed=1", "seed"), ("+a.b=1", "a.b"), ("++a=b=c", "a"), ("~metric", "metric"), ("data@other=x", "other")],
)
def test_key_of_an_override(override, key):
    assert key_of(override) == key


@pytest.mark.slow
def test_the_same_key_added_and_removed_is_no_repeat():
    assert settings_of("~search.epochs", "+search.epochs=5").search.epochs == 5


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "read"), [("13433", "13433"), ("333333", "333333"), ("'022210'", "022210")])
def test_numbers_name_architectures(typed, read):
    settings = settings_from(compose("retrain", [f"from={typed}", "space=nasbench201"]))
    assert settings.start_from == read
