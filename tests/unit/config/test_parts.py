from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsrna.config.parts import build_part, check_part, located, nearest, number, with_fractions
from dsrna.errors import ConfigError, GenotypeError

HERE = "dsrna.config.parts"


class Point(NamedTuple):
    x: float
    y: float = 2.0


@pytest.fixture
def point(monkeypatch):
    """A part that a config can name."""
    monkeypatch.setattr(f"{HERE}.Point", Point, raising=False)
    return f"{HERE}.Point"


@given(st.integers(0, 255), st.integers(1, 1000))
def test_a_fraction_is_its_quotient(above, below):
    assert number(f"{above}/{below}", "threat.eps") == above / below
    assert number(f" {above} / {below}.0 ", "threat.eps") == above / below


@pytest.mark.parametrize("value", ["8/0", "a/2", "0.1", "1/2/3", True, None, [1]])
def test_what_is_no_number_is_refused_with_its_key(value):
    with pytest.raises(ConfigError, match=r"\(conf: threat\.eps\)"):
        number(value, "threat.eps")


def test_fractions_are_read_at_every_depth_and_nothing_else_changes():
    node = {"a": [1, "2/4", {"b": "8/255"}], "c": "runs/2", "d": None, "e": "1/2 of it"}
    assert with_fractions(node) == {"a": [1, 0.5, {"b": 8 / 255}], "c": "runs/2", "d": None, "e": "1/2 of it"}


def test_nearest_is_silent_when_nothing_is_near():
    assert nearest("zzz", ["none", "jacobian"]) == ""


def test_a_part_is_its_target_called_with_its_keys(point):
    assert build_part({"_target_": point, "x": 1}, "here", y=3) == Point(1, 3)
    assert build_part({"_target_": point, "x": 1}, "here") == Point(1, 2)


def test_wrong_arguments_are_named_before_anything_is_called(point):
    with pytest.raises(ConfigError, match=r"no setting `z`.*It takes: x, y\. \(conf: here\.z\)"):
        check_part({"_target_": point, "x": 1, "z": 1}, "here")
    with pytest.raises(ConfigError, match=r"`Point` needs `x`\. \(conf: here\.x\)"):
        check_part({"_target_": point}, "here")
    check_part({"_target_": point}, "here", "x")


@pytest.mark.parametrize("node", [None, 3, {}, {"_target_": 3}, {"x": 1}])
def test_a_node_without_target_is_refused(node):
    with pytest.raises(ConfigError, match=r"`_target_`.*\(conf: here\)"):
        build_part(node, "here")


@pytest.mark.parametrize(
    "target", ["no.such.Thing", "dsrna.config.parts.nothing", "Thing", "dsrna.config.parts.FRACTION"]
)
def test_a_target_that_is_not_there_is_refused(target):
    with pytest.raises(ConfigError, match=r"\(conf: here\._target_\)"):
        build_part({"_target_": target}, "here")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Too low.", "Too low. (conf: objective)"),
        ("Too low. (conf: steps)", "Too low. (conf: objective.steps)"),
        ("Too low. (conf: metric.steps)", "Too low. (conf: metric.steps)"),
        ("Too low. (conf: data)", "Too low. (conf: data)"),
    ],
)
def test_an_error_gets_its_place_and_keeps_its_kind(message, expected):
    with pytest.raises(GenotypeError) as caught, located("objective", ["steps"]):
        raise GenotypeError(message)
    assert str(caught.value) == expected


def test_a_library_s_error_becomes_ours():
    with pytest.raises(ConfigError, match=r"Invalid learning rate: -1 \(conf: search\.alphas_optimizer\)"):
        build_part({"_target_": "torch.optim.SGD", "lr": -1}, "search.alphas_optimizer", params=[torch.zeros(1)])
