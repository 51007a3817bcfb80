"""A run folder from somebody else runs no code of its own, reads no file and no secret, whatever is done with it."""

import json
import sys
from html.parser import HTMLParser

import pytest

from dsrna.__main__ import main
from dsrna.benchmark import main as benchmark
from dsrna.commands import redraw
from dsrna.config.compose import compose
from dsrna.errors import ConfigError
from dsrna.files import write_json
from dsrna.report import write_sweep_report
from dsrna.runs.replay import replay
from dsrna.testing.run_folders import build_run_folder

PART = "_target_: os.mkdir\npath: {canary}\n"
METRIC = PART + "weight: 0.0\nwarmup_epochs: 0\nweight_schedule: constant\n"
CALL = "{{_target_: os.mkdir, path: {canary}}}"

# name -> the overrides in the folder; {canary} must not be made, {folder} is the run folder with a plain.yaml and code
REFUSED = {
    "a choice below the folder": ["metric={folder}/plain"],
    "a choice with a suffix": ["metric={folder}/plain.yaml"],
    "a choice by a relative path": ["metric={climb}{folder}/plain"],
    "a choice added elsewhere": ["+metric@evaluate.verify={folder}/plain"],
    "a choice put at the top": ["metric@_global_={folder}/plain"],
    "a choice of Hydra's, at the top": ["metric@_global_.hydra.callbacks=none"],
    "a choice in a list": ["+proxy=[croze,{folder}/plain]"],
    "one choice of a sweep": ["metric=none,{folder}/plain"],
    "an experiment of its own": ["+experiment={folder}/everything"],
    "a choice with added values": ["metric=none", "+objective@certified.objective={folder}/plain"],
    "a function of Python's": ["metric._target_=os.mkdir", "+metric.path={canary}"],
    "a whole part": ["~metric", "+metric=" + CALL],
    "a part in a part": ["+metric.inner=" + CALL],
    "a part in a list": ["+evaluate.attacks.list=[1,{{a: " + CALL + "}}]"],
    "an attack": ["+evaluate.attacks.own=" + CALL],
    "an attack of the grid": ["evaluate.grid={{own: {{eps: [0.1], attack: " + CALL + "}}}}"],
    "an optimiser": ["retrain.optimizer=" + CALL],
    "a module that lies in the folder": ["metric._target_=hostile_code.Metric"],
    "what torch.optim imports": ["retrain.optimizer._target_=torch.optim.optimizer.os.mkdir"],
    "a function in torch.optim": ["retrain.optimizer._target_=torch.optim.lr_scheduler.partial"],
    "a function of dsrna's that writes": ["metric._target_=dsrna.files.write_text", "+metric.path={canary}"],
    "a part of dsrna's at a wrong place": ["metric._target_=dsrna.data.arrays.load_arrays", "+metric.path={folder}"],
    "an optimiser for a metric": ["metric._target_=torch.optim.SGD"],
    "the environment": ["data.root=${{oc.env:SECRET}}"],
    "the environment in quotes": ["data.root='${{oc.env:SECRET}}'"],
    "the environment, escaped": [r"data.root=$\{{oc.env:SECRET\}}"],
    "the environment in a list": ["+evaluate.attacks.x=[1,{{a: '${{oc.env:SECRET}}'}}]"],
    "a target that is computed": ["metric._target_=${{data.root}}", "data.root=os.mkdir"],
    "what can't be read": ["metric=[none"],
    "two lines": ["seed=1\nmetric=none"],
    "no text": [3],
}
DROPPED = {
    "a callback of Hydra's": ["+hydra.callbacks.own=" + CALL],
    "a choice among Hydra's callbacks": ["+metric@hydra.callbacks.own={folder}/plain"],
    "a launcher of Hydra's": ["hydra/launcher={folder}/plain"],
    "a folder of configs": ["hydra.searchpath=[file://{folder}]"],
    "a place outside": ["out={canary}", "name=${{oc.env:SECRET}}"],
}


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """(overrides) -> a finished run's folder with them; the canary must not be there in the end."""
    monkeypatch.setenv("SECRET", "a-secret-of-the-user")
    canary, path = tmp_path / "canary", tmp_path / "run"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def make(overrides):
        folder = build_run_folder(path, overrides=[])
        (path / "plain.yaml").write_text(METRIC.format(canary=canary))
        everything = f"# @package _global_\nhydra: {{searchpath: ['file://{path}']}}\nmetric:\n  _target_: os.mkdir\n"
        (path / "everything.yaml").write_text(everything)
        (path / "hostile_code.py").write_text(f"import os\nos.mkdir({str(canary)!r})\nclass Metric: ...\n")
        monkeypatch.syspath_prepend(path)
        given = {"folder": path, "canary": canary, "climb": "../" * 40}
        write_json(
            folder.overrides_yaml, [each.format(**given) if isinstance(each, str) else each for each in overrides]
        )
        return path

    yield make
    assert not canary.exists(), "nothing ran"
    assert "hostile_code" not in sys.modules
    assert {entry.name for entry in tmp_path.iterdir()} <= {"run", "elsewhere", "runs"}
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("attempt", REFUSED)
def test_what_a_run_folder_must_not_choose_is_refused(attempt, hostile, command_line, tmp_path):
    folder = hostile(REFUSED[attempt])
    outcome = command_line("retrain", f"from={folder}", f"out={tmp_path / 'runs'}", "trainer=debug")
    assert outcome.status == 2, outcome.text
    assert outcome.text.startswith("[error] ")
    assert outcome.text.count("\n") <= 1
    assert "a-secret-of-the-user" not in outcome.text
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("attempt", DROPPED)
def test_what_belongs_to_the_earlier_process_is_not_replayed(attempt, hostile):
    typed = [f"from={hostile(DROPPED[attempt])}"]
    assert replay("retrain", typed) == typed


def export(arguments):
    raise SystemExit(main(["export", *arguments]))


WAYS = {
    "retrain": lambda run, arguments: run("retrain", *arguments),
    "evaluate": lambda run, arguments: run("evaluate", *arguments),
    "a sweep": lambda run, arguments: run("evaluate", "-m", *arguments, "seed=0,1"),
    "rank": lambda run, arguments: run("rank", *arguments),
    "query": lambda run, arguments: run("query", *arguments),
    "benchmark train": lambda run, arguments: benchmark(["train", "arch=1", *arguments]),
    "export": lambda run, arguments: export(arguments),
}


@pytest.mark.parametrize(
    "attempt", ["a choice by a relative path", "an attack of the grid", "the environment, escaped"]
)
@pytest.mark.parametrize("way", WAYS)
def test_on_every_way_in(way, attempt, hostile, command_line, capsys):
    pytest.importorskip("onnxruntime") if way == "export" else None
    folder = hostile(REFUSED[attempt])
    try:
        outcome = WAYS[way](command_line, [f"from={folder}"])
        status, text = outcome.status, outcome.text
    except SystemExit as end:
        status, text = end.code, capsys.readouterr().err
    assert status == 2
    assert "(conf: from)" in text
    assert "a-secret-of-the-user" not in text


def test_a_config_outside_is_not_trusted_even_where_the_user_names_it(hostile):
    """What is checked is the composed tree: the override names a file, and the file names the code."""
    outside = f"metric={'../' * 40}{hostile([])}/plain"
    with pytest.raises(ConfigError, match=r"`os\.mkdir`.*metric\._target_=os\.mkdir"):
        compose("search", [outside])
    trusted = compose("search", [outside, "metric._target_=os.getcwd"])
    assert trusted.metric._target_ == "os.getcwd"


def test_an_escaped_reference_is_one(monkeypatch):
    """Why looking at the text isn't enough: Hydra unescapes it."""
    monkeypatch.setenv("SECRET", "value")
    assert compose("search", [r"data.root=$\{oc.env:SECRET\}"]).data.root == "value"


MARKUP = "</td></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'[/b]$\\frac{"


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, sorted(name for name, _ in attrs)))


def replaced(value, old, new):
    """``value`` with every text ``old`` in it, and every other text that is only shown, as ``new``."""
    if isinstance(value, dict):
        return {key: replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, old, new) for item in value]
    return new if value in old else value


def test_markup_from_a_run_folder_is_text_in_its_report(tmp_path, monkeypatch):
    """Names, titles, labels, settings, versions: the page has the same elements with and without markup in them."""
    monkeypatch.setattr("dsrna.report.page.draw_pictures", lambda data: [])
    plain, marked = (build_run_folder(tmp_path / name, overrides=["name=x"]) for name in ("plain", "marked"))
    shown = {
        plain.run_json: {"cpu", "0123456789abcdef", "python -m dsrna.search seed=3"},
        plain.genotype_json: {"sep_conv_3x3"},
        plain.architecture_json: {"sep_conv_3x3"},
        plain.evaluation_json: {"adversarial training (PGD-7)", "PGD-20", "FGSM", "retrain/best.ckpt", "fog", "PGD-40"},
        plain.overrides_yaml: {"name=x"},
    }
    for path, texts in shown.items():
        target = marked.path / path.relative_to(plain.path)
        content = json.loads(target.read_text())
        assert replaced(content, texts, MARKUP) != content
        write_json(target, replaced(content, texts, MARKUP))
    config = marked.config_yaml.read_text().replace("digits_jacobian", MARKUP).replace("JacobianNorm", MARKUP)
    marked.config_yaml.write_text(config)
    pages = [Tags(redraw(folder.path).read_text()).found for folder in (plain, marked)]
    assert pages[0] == pages[1]
    assert "<script>alert" not in marked.report_html.read_text()


def test_markup_in_names_of_a_sweep_s_jobs_is_text(tmp_path):
    for name in ("a", "javascript:alert(1)", "<script>alert(1)<"):
        build_run_folder(tmp_path / "sweep" / name, overrides=[f"seed=<b>{name}", "name=x"])
    page = write_sweep_report(tmp_path / "sweep").read_text()
    assert "<script>alert" not in page
    assert "<b>" not in page
    assert 'href="javascript:' not in page
