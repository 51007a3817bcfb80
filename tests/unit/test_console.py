"""What people typed appears on the consoles as they typed it: no markup, no emoji codes."""

import io
from pathlib import Path

import pytest
from rich.table import Table

import dsrna
import dsrna.progress
from dsrna.console import output, plain_console, terminal
from dsrna.files import write_json
from dsrna.progress import Progress
from dsrna.stages.summary import show_result
from dsrna.testing.evaluations import example_evaluation
from dsrna.testing.run_folders import build_run_folder

TYPED = "a[b]c[/b] <i>&amp; [/] $x$ :smile: [red]"


def test_results_show_titles_and_labels_as_typed(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    folder = build_run_folder(tmp_path / TYPED.replace("/", "|"), ("evaluate",))
    evaluation = example_evaluation()
    evaluation["networks"]["retrain"]["title"] = TYPED
    for network in evaluation["networks"].values():
        network["result"]["records"][0]["label"] = f"FGSM {TYPED}"
    write_json(folder.evaluation_json, evaluation)
    show_result(folder)
    shown = capsys.readouterr().out
    assert shown.count(TYPED) == 2
    assert str(folder.path) in shown


def test_a_progress_bar_shows_title_and_numbers_as_typed(monkeypatch):
    shown = io.StringIO()
    console = plain_console(file=shown, force_terminal=True, width=220)
    monkeypatch.setattr(dsrna.progress, "terminal", lambda: console)
    with Progress(f"evaluate {TYPED}", 2) as bar:
        bar.advance(1, {f"PGD {TYPED}": 0.5})
    assert f"evaluate {TYPED}" in shown.getvalue()
    assert f"PGD {TYPED} 0.5" in shown.getvalue()


@pytest.mark.parametrize("console", [terminal, output], ids=["stderr", "stdout"])
def test_both_consoles_take_text_literally(console, capsys):
    terminal.cache_clear()
    table = Table(title=TYPED, width=100)
    table.add_column(TYPED)
    table.add_row(TYPED)
    console().print(TYPED, soft_wrap=True)
    console().print(table)
    assert "".join(capsys.readouterr()).count(TYPED) == 4


def test_every_console_is_made_in_one_place():
    package = Path(dsrna.__file__).parent
    makers = {path.name for path in package.rglob("*.py") if "rich.console import" in path.read_text()}
    assert makers == {"console.py"}
