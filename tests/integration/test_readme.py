"""README's commands, word for word: each is read, composed and checked as the entry point would before it starts."""

import re
import shlex
from pathlib import Path

import pytest

from dsrna.__main__ import main
from dsrna.config.benchmark_train import benchmark_training_settings
from dsrna.config.command_line import expand, read_command_line, without_globs
from dsrna.config.compose import compose
from dsrna.config.query import query_settings
from dsrna.config.rank import rank_settings
from dsrna.config.validate import validated

README = Path(__file__).parents[2] / "README.md"
COMMANDS = sorted(set(re.findall(r"python -m dsrna[^`\n]*", README.read_text())))
READ = {"rank": rank_settings, "query": query_settings, "benchmark": benchmark_training_settings}


def test_the_commands_are_found():
    assert len(COMMANDS) > 30
    assert "python -m dsrna export from=runs/… --network certified --images 50 threat.eps=0.05" in COMMANDS


@pytest.mark.parametrize("command", [each for each in COMMANDS if not each.startswith("python -m dsrna ")])
def test_a_run_of_the_readme_would_start(command, tmp_path):
    words = shlex.split(command.replace("runs/…", str(tmp_path / "best.ckpt")).replace("FOLDER", str(tmp_path)))[2:]
    kind = words[0].partition(".")[2]
    if kind == "benchmark":
        if words[1:2] != ["train"]:
            pytest.skip("takes no settings")
        kind, words = "benchmark_train", words[1:]
        if len(words) == 1:
            words += ["n=10"]  # the sentence names the command alone
    typed = read_command_line(words[1:])
    jobs = expand(without_globs(typed.overrides)) if typed.multirun else [typed.overrides]
    assert len(jobs) == (6 if "metric=none,jacobian seed=0,1,2" in command else 1)
    for job in jobs:
        READ.get(kind.partition("_")[0], validated)(compose(kind, job))


@pytest.mark.parametrize(
    "words", [["list"], ["list", "metric"], ["show", "+experiment=cifar10_jacobian"]], ids=" ".join
)
def test_what_shows_settings_runs(words, capsys):
    assert f"python -m dsrna {' '.join(words)}" in COMMANDS
    assert main(words) == 0
    assert capsys.readouterr().out
