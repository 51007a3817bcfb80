"""Every objective of the config keeps the contract."""

import pytest
import yaml

from dsrna.config.catalog import choices, conf_folder
from dsrna.config.parts import build_part
from dsrna.testing.objective_conformance import check_objective


def settings_of(name):
    """What a file of conf/objective says, with what it takes from others of them."""
    settings = yaml.safe_load((conf_folder() / "objective" / f"{name}.yaml").read_text())
    for base in settings.pop("defaults", []):
        settings = settings_of(base) | settings
    return settings


@pytest.mark.slow
@pytest.mark.parametrize("statistics", ["running", "batch"])
@pytest.mark.parametrize("name", [name for name in choices("objective") if "batch_norm" in settings_of(name)])
def test_conformance_of_what_attacks(name, statistics):
    check(name, batch_norm=statistics)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in choices("objective") if "batch_norm" not in settings_of(name)])
def test_conformance(name):
    check(name)


def check(name, **changes):
    settings = settings_of(name) | {"label_smoothing": 0.1} | changes
    if "steps" in settings:
        settings["steps"] = 3
    if "classifier" in settings:
        settings["alpha"] = 0.5  # by other weights, the gradient isn't the loss's own: see test_taps.py
    check_objective(
        lambda threat: build_part(settings, name, threat=threat),
        goal="divergence" if name.startswith("trades") or name == "score" else "margin",
    )
