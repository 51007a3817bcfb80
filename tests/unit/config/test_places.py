"""A config group that is named without its place: what is said, and that nothing that is read is refused."""

import pytest

from dsrna.config.catalog import choices, entries, groups
from dsrna.config.command_line import with_config_folder
from dsrna.config.compose import compose, compose_with_hydra, settings_from
from dsrna.config.places import own_groups
from dsrna.errors import ConfigError


@pytest.mark.parametrize("plus", ["", "+"])
@pytest.mark.parametrize(
    ("group", "choice", "one_more"),
    [("attack", "apgd", "; or +attack@evaluate.attacks.NAME=apgd for one more"), ("optimizer", "sgd", "")],
)
def test_a_group_of_several_places_is_told_with_them(plus, group, choice, one_more):
    _, of_hydra = compose_with_hydra("evaluate", [])
    places = sorted(key.removeprefix(f"{group}@") for key in of_hydra.runtime.choices if key.startswith(f"{group}@"))
    assert len(places) > 3
    with pytest.raises(ConfigError) as refused:
        compose("evaluate", [f"{plus}{group}={choice}"])
    where = f"write {group}@PLACE={choice}, where PLACE is one of {', '.join(places)}{one_more}. (conf: {group})"
    assert str(refused.value).endswith(where)
    compose("evaluate", [f"{group}@{places[0]}={choice}"])  # as it says


def test_one_more_attack_is_read():
    settings = settings_from(compose("search", ["+attack@evaluate.attacks.mine=apgd"]))
    assert settings.evaluate.attacks["mine"] == {"_target_": "dsrna.evaluation.autoattack_engine.APGD", "steps": 100}


@pytest.mark.parametrize(
    ("entry", "override", "message"),
    [
        ("search", "attack@evaluate.attacks.mine=apgd", r"or \+attack@evaluate\.attacks\.NAME=apgd"),
        ("search", "+method=local", r"`method`: that config group is of query, not of search\. \(conf: method\)"),
        ("rank", "regulariser=[entropy]", r"`regulariser`: that config group is of .*search, not of rank"),
        ("rank", "+attack=apgd", r"`attack`: rank has no setting of that name"),
        ("search", "search_method=robust", r"write \+search_method=robust\. "),
        ("search", "+metric=none", r"`metric` is chosen already: write metric=none without the \+\."),
    ],
)
def test_what_to_write_instead(entry, override, message):
    with pytest.raises(ConfigError, match=message):
        compose(entry, [override])


@pytest.mark.parametrize("override", ["mine=thing", "+mine=thing", "+mine=[thing]"])
def test_a_group_of_the_users_that_nothing_reads(tmp_path, override):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thing.yaml").write_text("# Mine\nepochs: 3\n")
    (tmp_path / "mine" / "search.yaml").write_text("# @package search\n# Mine\nepochs: 3\n")
    named = with_config_folder([], str(tmp_path))
    with pytest.raises(ConfigError, match=r"`mine`: search has no setting .* Write \+mine@PLACE=.*\(conf: mine\)"):
        compose("search", [*named, override])
    assert compose("search", [*named, "+mine@search=thing"]).search.epochs == 3  # as it says
    assert compose("search", [*named, "+mine=search"]).search.epochs == 3  # it says its place itself


@pytest.mark.parametrize("entry", ["search", "rank", "query"])
def test_what_is_read_may_be_added(entry):
    """Every group that an entry has but chooses nothing from, and those whose choices say where they belong."""
    chosen = set(compose_with_hydra(entry, [])[1].runtime.choices)
    for group in (own_groups(entry) - chosen) & set(groups()):
        assert group in compose(entry, [f"+{group}=[{choices(group)[0]}]"])
    assert entry in entries()


def test_groups_of_an_entry_are_those_of_what_it_stands_on():
    assert own_groups("search") <= own_groups("evaluate")
    assert {"regulariser", "search_schedule", "data", "sizes"} <= own_groups("evaluate")
    assert "recipe" in own_groups("benchmark_train") - own_groups("evaluate")
    assert not {"attack", "optimizer", "experiment"} & own_groups("evaluate")
