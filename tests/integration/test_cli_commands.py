"""The small commands: doctor, list, show, report."""

import sys
from importlib.metadata import version

import pytest
import yaml

from dsrna.__main__ import main
from dsrna.config.catalog import choices, groups
from dsrna.testing.run_folders import build_run_folder


def test_doctor_says_what_is_here_and_what_it_enables(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["doctor"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert version("torch").partition("+")[0] in lines["torch"]
    assert "AutoAttack" in lines["pyautoattack"]
    assert "conf" in lines["dsrna"]


def test_list_prints_every_group_and_choice_with_a_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["list"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [line for line in lines if line in groups()] == groups()
    for group in groups():
        for choice in choices(group):
            assert any(line.startswith(f"{choice} ") and len(line) > len(choice) + 10 for line in lines), choice


def test_show_prints_what_would_run_as_yaml(capsys):
    assert main(["show", "+experiment=cifar10_jacobian", "seed=4"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["name"], shown["seed"], shown["search"]["epochs"]) == ("cifar10_jacobian", 4, 50)
    assert "hydra" not in shown


def test_show_prints_the_config_of_the_command_that_is_named_first(capsys):
    assert main(["show", "rank", "n=5"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["n"], "croze" in shown["proxy"]) == (5, True)
    assert main(["show", "evaluate", "from=RNAS", "seed=7"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["stages"], shown["seed"]) == (["evaluate", "report"], 7)
    assert main(["show", "benchmark", "train", "arch=7"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["arch"], shown["stages"]) == (7, ["retrain", "evaluate"])
    assert main(["show", "query", "budget=0"]) == 2
    assert "conf: budget" in capsys.readouterr().err


def test_every_entry_point_is_a_command_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["dsrna"])
    assert main(["search", "metric=nonesuch", f"out={tmp_path}"]) == 2
    assert "Unknown metric `nonesuch`" in capsys.readouterr().err
    assert main(["rank", "n=0", f"out={tmp_path}"]) == 2
    assert "conf: n" in capsys.readouterr().err
    assert main(["benchmark", "nonesuch"]) == 2
    assert "nonesuch" in capsys.readouterr().err
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"dsrna {version('dsrna')}"


def test_show_leaves_open_what_must_be_given(capsys):
    assert main(["show", "data=arrays"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["data"]["source"]["path"] == "???"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "serach.epochs=1"], "Unknown key `serach`. Did you mean `search`"),
        (["show", "+search.epcohs=1"], "Did you mean `search.epochs`"),
        (["show", "search.epochs=many"], "(conf: search.epochs)"),
        (["list", "metrics"], "Did you mean `metric`"),
        (["report", "no/such/run"], "no/such/run"),
    ],
)
def test_a_wrong_argument_gets_one_message_and_status_2(arguments, says, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("[error] ")
    assert printed.err.count("\n") == 1
    assert says in printed.err


def test_list_of_one_group(capsys):
    assert main(["list", "threat"]) == 0
    text = capsys.readouterr().out
    assert "l2" in text
    assert "jacobian" not in text


def test_a_report_is_drawn_again(tmp_path, capsys):
    folder = build_run_folder(tmp_path / "run")
    assert main(["report", str(folder.path)]) == 0
    assert str(folder.report_html) in capsys.readouterr().out
    assert "PGD-20" in folder.report_html.read_text()


def test_an_unknown_command_is_argparses_to_refuse(capsys):
    assert main(["serach"]) == 2
    assert "invalid choice" in capsys.readouterr().err
