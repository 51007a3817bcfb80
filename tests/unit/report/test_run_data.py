"""What a page reads of a run's config."""

import pytest

from dsrna.report.run_data import RunData


def test_settings_are_found_in_a_config_as_omegaconf_dumps_it() -> None:
    from omegaconf import OmegaConf

    config = {
        "stages": ["search", "retrain"],
        "metric": {"list": [{"weight": 7}], "_target_": "dsrna.metrics.jacobian.JacobianNorm", "weight": 0.01},
        "weight": 3,
        "threat": {"norm": "linf", "eps": "8/255"},
        "empty": None,
        "text": "a: b",
    }
    data = RunData({}, OmegaConf.to_yaml(OmegaConf.create(config)), [], [], None, None, None)
    assert data.setting("metric", "weight") == "0.01"
    assert data.setting("weight") == "3"
    assert data.setting("threat", "eps") == "8/255"
    assert data.setting("text") == "a: b"
    assert data.setting("empty") is None
    assert data.setting("threat", "weight") is None
    assert data.setting("norm") is None
    assert data.part("metric") == "jacobian"
    assert data.part("threat") is None


def test_a_part_has_the_name_by_which_it_was_chosen() -> None:
    text = "metric: {_target_: mine.robust.Own, weight: 1}\nname: 'a: b # c'\nthreat:\n    eps: 1e-3\n"
    data = RunData({"choices": {"metric": "my_metric"}}, text, [], [], None, None, None)
    assert data.part("metric") == "my_metric"
    assert data.setting("metric", "weight") == "1", "in flow style, too"
    assert (data.setting("name"), data.setting("threat", "eps")) == ("a: b # c", "1e-3")


@pytest.mark.parametrize("damaged", ["name: [", "name: {a: b", "a: *b", "[" * 5000, "- x", "7", ""])
def test_a_damaged_config_says_nothing(damaged) -> None:
    assert RunData({}, damaged, [], [], None, None, None).setting("name") is None
