"""What is composed from memory is what Hydra composes anew, Hydra's own part of the config included."""

import hydra
import pytest
from omegaconf import OmegaConf

from dsrna.config import composing
from dsrna.config.compose import _composing, as_composed, compose
from dsrna.errors import ConfigError


def both(entry, overrides):
    with _composing(entry, overrides):
        found = composing.hydra_composed(entry, as_composed(overrides))
        return found, hydra.compose(entry, as_composed(overrides), return_hydra_config=True)


@pytest.mark.parametrize(
    ("entry", "overrides"),
    [
        ("rank", ["proxy=[croze,nwot]", "out='a b'", "seed=3", "threat.eps=8/255", "data.extra={a: [1]}"]),
        ("rank", ["seed=4", "proxy=[croze,nwot]", "space=nasbench201"]),
        ("rank", ["~seed", "+seed=5"]),
        ("rank", ["seed=6", "hydra.job.name=mine"]),
        ("query", ["data=mnist", "budget=9"]),
    ],
)
def test_as_hydra_composes_it(entry, overrides, tmp_path, monkeypatch):
    both(entry, overrides)
    monkeypatch.chdir(tmp_path)  # which the config tells
    found, expected = both(entry, overrides)
    assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected)
    assert OmegaConf.is_struct(found) == OmegaConf.is_struct(expected)
    assert found.hydra.runtime.cwd == str(tmp_path)


def test_what_is_remembered_is_not_what_was_given():
    first = compose("rank", ["seed=7"])
    first.data.root = "elsewhere"
    assert compose("rank", ["seed=8"]).seed == 8
    assert compose("rank", []) == compose("rank", ["seed=0"])
    assert compose("rank", []).data.root != "elsewhere"


def test_choices_are_composed_once(monkeypatch):
    composing._of_choices.cache_clear()
    asked, hydras = [], hydra.compose
    monkeypatch.setattr(hydra, "compose", lambda *args, **kwargs: asked.append(args) or hydras(*args, **kwargs))
    for seed in range(3):
        assert compose("rank", ["proxy=[croze]", f"seed={seed}"]).seed == seed
    assert len(asked) == 1
    with pytest.raises(ConfigError, match="Unknown proxy"):
        compose("rank", ["proxy=[no_such]"])
