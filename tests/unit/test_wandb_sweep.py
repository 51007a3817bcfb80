"""The YAML for `wandb sweep`: its settings are settings of a search, and its metric is one that a search logs."""

from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from dsrna.config.compose import compose, settings_from
from dsrna.config.sweep_objective import known_objectives

FILE = Path(__file__).resolve().parents[2] / "docs" / "wandb_sweep.yaml"


def test_every_parameter_is_a_setting_and_the_metric_is_logged():
    if not FILE.is_file():
        pytest.skip("docs/ isn't part of the installed package")
    sweep = yaml.safe_load(FILE.read_text())
    assert sweep["command"][2:4] == ["-m", sweep["program"]] == ["-m", "dsrna.search"]
    config = compose("search", sweep["command"][4:5])
    for key in sweep["parameters"]:
        assert OmegaConf.select(config, key) is not None, key
    assert sweep["metric"]["name"] in known_objectives(settings_from(config))
    assert sweep["metric"]["goal"] == "maximize"
