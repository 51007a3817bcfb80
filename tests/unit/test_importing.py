"""What is imported is kept from the collector, which is as it was afterwards."""

import gc
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from dsrna import commands, entry_module
from dsrna.importing import importing
from dsrna.runs import launch


@pytest.fixture
def _collecting():
    yield
    gc.enable()


@pytest.mark.slow
@pytest.mark.usefixtures("_collecting")
@pytest.mark.parametrize("collecting", [True, False])
def test_nothing_is_collected_meanwhile_and_what_was_made_never_looked_at(collecting):
    (gc.enable if collecting else gc.disable)()
    before = gc.get_freeze_count()
    with importing():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled() == collecting
    assert gc.get_freeze_count() >= before + 1000
    assert all(each is not known for each in made[:3] for known in gc.get_objects())


@pytest.mark.usefixtures("_collecting")
def test_an_error_leaves_the_collector_on():
    with pytest.raises(ValueError, match="broken"), importing():
        raise ValueError("broken")
    assert gc.isenabled()


@pytest.mark.slow
def test_a_command_imports_so_and_its_first_job_is_read_so_and_no_other(monkeypatch):
    collecting = []
    monkeypatch.setattr(commands, "main_of", lambda name: collecting.append(gc.isenabled()))
    frozen = gc.get_freeze_count()
    entry_module.begin("__main__", "search")
    assert collecting == [True]
    assert gc.get_freeze_count() > frozen

    class Noting:
        name = "search"
        settings = staticmethod(lambda config: collecting.append(gc.isenabled()))

    launch._checked(Noting(), [["seed=0"], ["seed=1"]])
    assert collecting == [True, False, True]
    job = SimpleNamespace(request=SimpleNamespace(folder=None))
    monkeypatch.setattr(launch, "one_job", lambda *_: collecting.append(gc.isenabled()) or job)
    launch._lone_job(Noting(), [], print)
    assert collecting == [True, False, True, False]


SLOW = {
    "torch", "torch._dynamo", "torchvision", "pytorch_lightning", "scipy.stats", "scipy.optimize", "sklearn",
    "matplotlib", "jinja2", "foolbox", "wandb", "onnxruntime", "auto_LiRPA", "hydra",
}  # fmt: skip
"""What takes long to import."""

COMMANDS = {
    "--help": set(),
    "list metric": {"hydra"},
    "show +experiment=cifar10_jacobian": {"hydra"},
    "show compare": {"hydra"},
    "show query": {"hydra"},
    "show benchmark train arch=7": {"hydra"},
    "search +experiment=cifar10_jacobian serach.epochs=1": {"hydra", "torch"},
    "rank nn=3": {"hydra", "torch"},
    "compare rwos=1": {"hydra", "torch"},
    "doctor": {"hydra", "torch"},
}
"""Command line -> what it may import; a setting that is refused is so before anything is imported that trains or draws.

In this order they are given to one process, which imports torch only once.
"""


@pytest.mark.slow
def test_what_a_command_does_not_need_is_not_imported():
    program = f"""
import contextlib, io, json, sys
from dsrna.__main__ import main
for words in {list(COMMANDS)}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        main(words.split())
    print(json.dumps([name for name in {sorted(SLOW)} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, timeout=200, text=True, stdout=subprocess.PIPE)
    found = dict(zip(COMMANDS, map(set, map(json.loads, done.stdout.splitlines())), strict=True))
    assert found == COMMANDS


def test_that_settings_are_right_is_said_before_the_program_is_imported(monkeypatch):
    happened = []
    monkeypatch.setattr(sys, "argv", ["search"])
    monkeypatch.setattr(launch, "_lone_job", lambda *_: lambda: happened.append("started"))
    monkeypatch.setattr(launch, "resolve_name", lambda name: happened.append(name))
    launch.launch(SimpleNamespace(program="the program"), happened.append)
    assert happened == [launch.CHECKED, "the program", "started"]
