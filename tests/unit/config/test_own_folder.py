"""A config folder of the user's own: its choices are there where the command line names it, and nowhere else."""

import pytest
import yaml

from dsrna.__main__ import main
from dsrna.config.catalog import choices, conf_folder, description, groups, own_folders
from dsrna.config.command_line import read_command_line, with_config_folder, without_globs
from dsrna.config.compose import compose, settings_from
from dsrna.config.parts import build_part
from dsrna.config.validate import validated
from dsrna.errors import ConfigError
from dsrna.ranking.settings import rank_settings
from dsrna.runs.jobs import jobs_of


@pytest.fixture
def own(tmp_path):
    """A folder, with a blank in its name, of a metric, a data set and an experiment."""
    folder = tmp_path / "my configs"
    for group in ("data", "experiment", "metric"):
        (folder / group).mkdir(parents=True)
    text = (conf_folder() / "data" / "digits.yaml").read_text()
    (folder / "data" / "mine.yaml").write_text(text.replace("# ", "# Mine: ", 1))
    (folder / "metric" / "strong.yaml").write_text("# A strong one\ndefaults: [jacobian]\nweight: 7.0\n")
    (folder / "experiment" / "tiny.yaml").write_text(
        "# @package _global_\n# A tiny one\ndefaults: [override /data: mine]\nname: tiny\n"
        "search: {epochs: 3, warmup_epochs: 1}\n"
    )
    return folder


def both_ways(folder):
    return with_config_folder([], str(folder)), [f"hydra.searchpath=['file://{folder}']"]


@pytest.mark.slow
def test_its_choices_are_listed_and_composed_where_it_is_named(own):
    for named in both_ways(own):
        assert set(choices("metric", named)) - set(choices("metric")) == {"strong"}
        assert description("metric", "strong", named) == "A strong one"
        assert groups(named) == groups()
        settings = settings_from(compose("search", [*named, "+experiment=tiny", "metric=strong"]))
        assert (settings.name, settings.search.epochs, settings.metric.weight) == ("tiny", 3, 7.0)
    assert "strong" not in choices("metric")
    with pytest.raises(ConfigError, match=r"Unknown metric `strong`.*--config-dir FOLDER"):
        compose("search", ["metric=strong"])


@pytest.mark.slow
def test_a_package_may_hold_configs(tmp_path, monkeypatch):
    (tmp_path / "own_configs" / "threat").mkdir(parents=True)
    (tmp_path / "own_configs" / "__init__.py").touch()
    (tmp_path / "own_configs" / "threat" / "tiny.yaml").write_text("# Tiny\ndefaults: [linf]\neps: 0.001\n")
    monkeypatch.syspath_prepend(tmp_path)
    named = ["hydra.searchpath=[pkg://own_configs]"]
    assert "tiny" in choices("threat", named)
    assert compose("search", [*named, "threat=tiny"]).threat.eps == 0.001


def test_a_folder_given_by_flag_stands_before_those_of_the_searchpath(own):
    further = own.parent / "further"
    (further / "threat").mkdir(parents=True)
    (further / "threat" / "other.yaml").write_text("# Other\ndefaults: [l2]\n")
    for typed in (f"hydra.searchpath=[file://{further}]", f"hydra.searchpath=[ 'file://{further}' ]"):
        named = with_config_folder(["seed=1", typed], str(own))
        assert [str(folder) for folder in own_folders(named)] == [str(own), str(further)]
        assert {"strong", "other"} <= {*choices("metric", named), *choices("threat", named)}
    assert own_folders(with_config_folder(["hydra.searchpath=[]"], str(own))) == [own]


def test_the_flag_is_read_from_a_command_line_in_all_its_forms(own):
    for words in (["--config-dir", str(own)], [f"--config-dir={own}"], ["-cd", str(own)]):
        line = read_command_line(["-m", "seed=1", *words, "out=a"])
        assert line.multirun
        assert line.overrides == [*with_config_folder([], str(own)), "seed=1", "out=a"]
    assert read_command_line(["--cfg", "job"]).asks_hydra
    assert not read_command_line(["seed=1"]).asks_hydra


@pytest.mark.parametrize(
    "words", [["--config-name", "other"], ["-cp", "/tmp"], ["--experimental-rerun", "config.pickle"]]
)
def test_another_config_than_the_one_that_is_checked_is_refused(words):
    with pytest.raises(ConfigError, match="is not supported"):
        read_command_line(words)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("hydra.searchpath=[file:///no/such/folder]", "found none at file:///no/such/folder"),
        ("hydra.searchpath=[pkg://no_such_package]", "no_such_package"),
        ("hydra.searchpath=[http://here]", "file://FOLDER or pkg://PACKAGE"),
        ("hydra.searchpath=here", r"Expected hydra.searchpath=\["),
        ("hydra.searchpath=[1]", r"Expected hydra.searchpath=\["),
    ],
)
def test_a_folder_that_cannot_be_read_is_refused(typed, says):
    with pytest.raises(ConfigError, match=rf"{says}.*\(conf: hydra.searchpath\)"):
        compose("search", [typed])


def test_a_name_of_ours_is_refused_instead_of_passed_over(own):
    (own / "metric" / "jacobian.yaml").write_text("defaults: [none]\n")
    with pytest.raises(ConfigError, match=r"metric/jacobian.yaml has the name of a config in .*conf"):
        compose("search", with_config_folder([], str(own)))


@pytest.mark.slow
def test_glob_means_the_names_that_are_there(own):
    named = with_config_folder([], str(own))
    assert without_globs(["objective=glob(pgd*)", "seed=0,1"]) == ["objective=pgd,pgd_cifar,pgd_mnist", "seed=0,1"]
    assert without_globs([*named, "metric=glob(*o*, exclude=[none, a*, c*, l*, r*])"])[1:] == ["metric=jacobian,strong"]
    assert without_globs(["+experiment=glob(digits_p*)", "~metric"]) == ["+experiment=digits_pcdarts", "~metric"]
    jobs = jobs_of("search", without_globs([*named, "metric=glob([n*,s*])", "hydra.job.name=a"]))
    assert jobs.overrides == [[named[0], "metric=none"], [named[0], "metric=strong"]]
    for nothing, there in (
        ("metric=glob(x*)", "there are: adversarial_loss, certified"),
        ("sed=glob(*)", "list` shows the groups"),
    ):
        with pytest.raises(ConfigError, match=rf"matches nothing; .*{there}"):
            without_globs([nothing])


@pytest.mark.slow
def test_the_small_commands_know_the_folder(own, capsys):
    assert main(["list", "metric", "--config-dir", str(own)]) == 0
    assert "A strong one" in capsys.readouterr().out
    assert main(["list", f"hydra.searchpath=['file://{own}']"]) == 0
    assert "A tiny one" in capsys.readouterr().out
    assert main(["show", "+experiment=tiny", "--config-dir", str(own)]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["name"] == "tiny"
    assert main(["list", "--config-dir", str(own / "none")]) == 2


OWN_PARTS = {
    "strategy": "dsrna.strategies.darts.Darts",
    "metric": "dsrna.metrics.jacobian.JacobianNorm",
    "metric_join": "dsrna.strategies.metric_join.Fixed",
    "hypergradient": "dsrna.strategies.first_order.FirstOrder",
    "selection": "dsrna.strategies.selection.argmax.Argmax",
    "objective": "dsrna.objectives.standard.Standard",
    "search.weights_objective": "dsrna.objectives.standard.Standard",
    "regulariser.beta_decay": "dsrna.strategies.regularisers.beta_decay.BetaDecay",
    "search_schedule.early_stopping_skips": "dsrna.strategies.schedules.early_stopping_skips.EarlyStoppingSkips",
    "search.weights_optimizer": "torch.optim.SGD",
    "search.weights_schedule": "torch.optim.lr_scheduler.CosineAnnealingLR",
    "evaluate.attacks.fgsm": "dsrna.evaluation.foolbox_engine.FoolboxFGSM",
    "data.source": "dsrna.data.digits.load_digits",
}
"""Place of a part -> what the user's own class there is derived from, or calls."""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """place -> the name of a part of the user's own module."""
    named, lines = {}, []
    for number, (place, base) in enumerate({**OWN_PARTS, "proxy.snip": "dsrna.proxies.snip.Snip"}.items()):
        module, _, name = base.rpartition(".")
        lines.append(f"from {module} import {name} as base_{number}")
        lines.append(
            f"class Part{number}(base_{number}): pass" if name[0].isupper() else f"Part{number} = base_{number}"
        )
        named[place] = f"own_parts.Part{number}"
    (tmp_path / "own_parts.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    return named


@pytest.mark.slow
def test_parts_of_the_user_s_own_module_stand_wherever_ours_do(mine):
    typed = [f"{place}._target_={target}" for place, target in mine.items() if place in OWN_PARTS]
    chosen = ["strategy=darts", "objective=standard", "regulariser=[beta_decay]"]
    settings = validated(compose("search", [*chosen, "search_schedule=[early_stopping_skips]", *typed]))
    assert type(build_part(settings.metric.part, "metric")).__module__ == "own_parts"
    summed = f"+metric.parts.own={{weight: 2.0, metric: {{_target_: {mine['metric']}, norm: l2}}}}"
    validated(compose("search", ["metric=weighted", summed]))
    rank_settings(compose("rank", ["proxy=[snip]", f"proxy.snip._target_={mine['proxy.snip']}"]))


@pytest.mark.slow
def test_the_key_of_a_part_within_a_part_is_the_whole_way_to_it(mine):
    bad = "metric.parts.local_radius.metric.eps=-1"
    with pytest.raises(ConfigError, match=r"\(conf: metric\.parts\.local_radius\.metric\.eps\)$"):
        validated(compose("search", ["metric=weighted", bad]))
    with pytest.raises(ConfigError, match=r"\(conf: metric\.parts\.local_radius\.weight\)$"):
        validated(compose("search", ["metric=weighted", "metric.parts.local_radius.weight=-1"]))
