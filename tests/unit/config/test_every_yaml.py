"""Every file under conf/ composes into settings that pass validation."""

import pytest

from dsrna.config.catalog import choices, conf_folder, groups
from dsrna.config.compose import compose, settings_from
from dsrna.config.validate import validate

# What a choice can't do without.
NEEDS = {
    "data=arrays": ["data.source.path=mine.npz"],
    "data=folder": ["data.root=mine"],
    "experiment=imagenet_transfer": ["from=DARTS_V2"],
}
EVERY = [f"{group}={choice}" for group in groups() for choice in choices(group)]


@pytest.mark.parametrize("chosen", EVERY)
def test_it_composes_and_validates(chosen):
    override = f"+{chosen}" if chosen.startswith("experiment=") else chosen
    entry = "retrain" if chosen == "experiment=imagenet_transfer" else "search"
    validate(settings_from(compose(entry, [override, *NEEDS.get(chosen, [])])))


@pytest.mark.parametrize("entry", ["search", "retrain", "evaluate"])
def test_entries_compose(entry):
    validate(settings_from(compose(entry, [])))


def test_every_file_was_looked_at():
    files = {f"{path.parent.name}={path.stem}" for path in conf_folder().glob("*/*.yaml")}
    assert files == set(EVERY)
