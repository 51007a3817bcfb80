"""The commands of README and of the guide, word for word, each to its end: small settings behind the words.

Images and tables are made up."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from dsrna.__main__ import main
from dsrna.benchmark import main as benchmark
from dsrna.benchmarks.published_proxies import FILE_NAME as PROXIES_FILE
from dsrna.commands import named
from dsrna.config.compose import compose
from dsrna.run_folder import RunFolder
from dsrna.runs.replay import replay
from dsrna.spaces import genotype_codec
from dsrna.spaces.darts.published import published
from dsrna.spaces.nasbench201.index import string_at
from dsrna.spaces.notation.writing import published_text
from dsrna.testing.data_roots import write_arrays
from dsrna.testing.made_up_tables import share
from tests.thorough import thorough

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_cache")]

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "guide.md"]
FOUND = {found for page in PAGES for found in re.findall(r"python -m dsrna[^`\n]*", page.read_text())}
# Those that name a user's module, file or folder are run, with such, by tests/integration/test_external_model.py and
# test_publish.py.
COMMANDS = sorted(each for each in FOUND if not re.search(r"model=(mypackage|net[.-])", each))
RUN = "runs/…"

DEBUG = [
    "trainer=debug", "trainer.limits.batches=1", "trainer.limits.test_images=4", "evaluate.eps_curve=[0.1]",
    "search.random_cells=0", "retrain.selection_steps=1",
]  # fmt: skip
SCORED = ["images=4", "cells=1", "channels=4"]
SMALL = {
    "search": [*DEBUG, "retrain.baseline=false", "stages=[search,retrain,evaluate]"],
    "retrain": [*DEBUG, "stages=[retrain,evaluate]"],
    "evaluate": [*DEBUG, "stages=[evaluate]"],
    "rank": [*SCORED, "n=3", "bootstrap=10", "workers=1", "benchmark.eps=null"],
    "query": [*SCORED, "budget=60", "repeats=1", "judge=[robbench/clean]"],
    "compare": [
        *DEBUG, "trainer.limits.attacks=[fgsm]", "rows=[{name: a, random: 1},{name: b, random: 2}]", "reference=null",
        "training_seeds=[0]", "processes=1",
    ],
    "tune": [
        "trials=1", "confirmation=[]", "ranges=['metric.weight=interval(0.1,0.2)']",
        f"overrides=[{','.join(repr(each) for each in [*DEBUG, 'space.nodes=1', 'stages=[search]'])}]",
    ],
    "benchmark": [
        "n=1", "seeds=[1]", "data=cifar10", "data.train_limit=200", "data.test_limit=10",
        "data.validation_fraction=0.2", "retrain.epochs=1", "retrain.batch_size=32", "retrain.cells=1",
        "retrain.channels=2", "retrain.selection_steps=1", "evaluate.batch_size=10", "trainer=cpu",
    ],
    "evaluate=certified": [
        "evaluate.verify.engines=[ibp]", "evaluate.verify.attack_steps=2", "evaluate.verify.attack_restarts=1",
        "evaluate.verify.radius=false", "trainer.limits.test_images=1",
    ],
    "-m": ["stages=[search]"],
    "evaluate.threats=[{norm: l2, eps: 0.5}]": ["trainer.limits.attacks=[fgsm]"],
    "stages=[search]": ["stages=[search]"],
    "trainer.devices=4": ["trainer.devices=2"],
    "metric=none": ["stages=[search,retrain,evaluate,report]"],
    "evaluate=spatial": ["evaluate.spatial.rotations=3", "stages=[evaluate,report]"],
    "evaluate=corruptions": ["trainer.limits.test_images=2", "stages=[evaluate,report]"],
    "retrain.certified=true": ["stages=[retrain,evaluate,report]"],
    "evaluate=smoothed": ["evaluate.smoothing.samples=30", "trainer.limits.test_images=2", "stages=[evaluate,report]"],
    "method=[warmup]": ["method.warmup.warmup=3", "budget=8", "judge=null"],
    "method=[local,genetic]": ["method.genetic.population=8"],
}  # fmt: skip
"""What is put behind a command's words: of its entry point, and where it has these words. They win over its own."""

RUNS = [each for each in COMMANDS if re.match(r"python -m dsrna\.(?!benchmark)", each)]
REPEATED = {
    "python -m dsrna.compare +comparison=digits_tour",
    "python -m dsrna.evaluate from=runs/… threat.eps=4/255",
    "python -m dsrna.evaluate model=torchvision:resnet18 checkpoint=net.pt data=cifar10",
    "python -m dsrna.query",
    "python -m dsrna.rank",
    "python -m dsrna.retrain from=PC_DARTS data=cifar10",
    "python -m dsrna.retrain from=genotypes.py:MINE",
    "python -m dsrna.retrain from=runs/…",
    "python -m dsrna.retrain from=runs/… objective=trades",
    "python -m dsrna.retrain model=torchvision:resnet18 data=cifar10 objective=trades",
    "python -m dsrna.search -m metric=none,jacobian seed=0,1,2",
    "python -m dsrna.search hypergradient=unrolled",
    "python -m dsrna.search metric=none",
    "python -m dsrna.search optimizer@retrain.optimizer=adamw schedule@retrain.schedule=cosine",
    "python -m dsrna.search stages=[search]",
}
"""Commands of which other tests walk the same way; what is written here need only be understood."""


@pytest.fixture(scope="module")
def root(tables):
    """All data that README's commands ask for, made up."""
    lines = [f"x,{string_at(i)},{share(i, 4)}" for i in range(0, 15625, 2)]
    (tables / PROXIES_FILE).write_text("\n".join(["net,net_str,synflow", *lines]))
    write_arrays(tables / "cifar10.npz", 10, (32, 32, 3))
    torch.save(resnet18(num_classes=10).state_dict(), tables / "net.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSRNA_DATA", str(tables))
        yield tables


@pytest.fixture(scope="module")
def finished(root, command_line, tmp_path_factory):
    """A run folder for the commands that start from one."""
    out = tmp_path_factory.mktemp("finished")
    outcome = command_line("search", "data=cifar10", "retrain.certified=true", "space.nodes=1", *DEBUG, f"out={out}")
    assert outcome.status == 0, outcome.text
    (path,) = out.iterdir()
    return path


def small(kind, words, out):
    """The words with small settings instead of large ones."""
    key = re.compile(r"^([\w.@/]+)=")
    further = [*SMALL[kind], f"out={out}", *(more for word in words for more in SMALL.get(word, []))]
    settings = {key.match(word)[1]: word for word in further}
    kept = [word for word in words if not (found := key.match(word)) or found[1] not in settings]
    return [*kept, *settings.values()]


def test_the_commands_are_found():
    assert len(COMMANDS) > 30
    assert set(RUNS) > REPEATED
    assert "python -m dsrna export from=runs/… --network certified --images 50 threat.eps=0.05" in COMMANDS


@pytest.fixture
def typed(request, root):
    """command -> its words behind ``python -m``, with files of ours for those that it names."""

    def words(command):
        if RUN in command:
            command = command.replace(RUN, str(request.getfixturevalue("finished")))
        (root / "genotypes.py").write_text(f"MINE = {published_text(genotype_codec.to_json(published('RNAS')))}")
        command = command.replace("genotypes.py", str(root / "genotypes.py")).replace("net.pt", str(root / "net.pt"))
        return shlex.split(command.replace("/path/to/data", str(root)))[2:]

    return words


@pytest.mark.parametrize("command", RUNS)
def test_a_run_of_the_readme_is_understood(command, typed):
    module, *words = typed(command)
    if words[:1] == ["-m"]:
        words = [word.partition(",")[0] for word in words[1:]]
    command, overrides = named([module.partition(".")[2], *words])
    assert command.settings(compose(command.name, replay(command.name, overrides))).seed == 0


@pytest.mark.parametrize("command", [thorough(each) if each in REPEATED else each for each in RUNS])
def test_a_run_of_the_readme(command, typed, command_line, tmp_path):
    words = typed(command)
    kind = words[0].partition(".")[2]
    if kind == "search" and not any("nb201" in word or "nasbench201" in word for word in words):
        words.append("space.nodes=1")
    outcome = command_line(kind, *small(kind, words[1:], tmp_path))
    assert outcome.status == 0, outcome.text
    (path,) = tmp_path.iterdir()
    if "-m" in words[1:]:
        jobs = [RunFolder(found.parent) for found in path.glob("*/run.json")]
        assert len(jobs) == 6
        assert (path / "sweep.html").is_file()
    else:
        jobs = [RunFolder(path)]
    assert all(job.is_complete for job in jobs)


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("python -m dsrna.benchmark")])
def test_a_benchmark_of_the_readme(command, root, tmp_path):
    words = shlex.split(command.replace("FOLDER", str(root)))[3:]
    if words[0] == "train":
        benchmark(["train", *small("benchmark", words[1:], tmp_path)])
        (path,) = tmp_path.iterdir()
        assert RunFolder(path).is_complete
        assert list((path / "table").rglob("*.json"))
    else:
        benchmark([*words, "--out", str(tmp_path / "analysis")])
        assert (tmp_path / "analysis" / "report.html").is_file()


SHORT = [each for each in COMMANDS if each.startswith("python -m dsrna ")]


# `verify` needs two files: tests/unit/verification/test_files.py runs it.
@pytest.mark.parametrize("command", [each for each in SHORT if not each.startswith("python -m dsrna verify ")])
def test_a_small_command_of_the_readme(command, finished, capsys, tmp_path):
    words = shlex.split(command.replace(RUN, str(finished)).replace("FOLDER", str(finished.parent)))[3:]
    if words[0] == "report":
        (finished / "report.html").unlink(missing_ok=True)
    further = {
        "export": ["--images", "2", "--out", str(tmp_path)],
        "consensus": ["--out", str(tmp_path / "consensus.json")],
        "compare": ["--out", str(tmp_path)],
        "publish": ["--out", str(tmp_path / "net")],
        "plan": [*DEBUG, "trainer.limits.attacks=[fgsm]", "search.batch_size=4", "retrain.batch_size=4"],
    }.get(words[0], [])
    assert main([*words, *further]) == 0
    assert capsys.readouterr().out or words[0] in ("report", "export")
    if words[0] == "report":
        assert (finished / "report.html").is_file()
    if words[0] == "consensus":
        assert genotype_codec.load(tmp_path / "consensus.json") == genotype_codec.load(finished / "genotype.json")
    if words[0] == "publish":
        assert (tmp_path / "net" / "README.md").is_file()
    if words[0] == "export":
        beside = "network.pt2" if "--deploy" in words else "instances.csv"
        assert {file.name for file in tmp_path.iterdir()} >= {"network.onnx", beside}


def test_a_command_in_a_shell():
    """As typed, in a process of its own."""
    command = next(each for each in COMMANDS if each.endswith("dsrna list metric"))
    ended = subprocess.run([sys.executable, *shlex.split(command)[1:]], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "jacobian" in ended.stdout
