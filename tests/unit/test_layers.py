"""Imports only go down the levels of docs/architecture.md, and importing has no side effect."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "dsrna"
LEVELS = {
    0: (
        "functional",
        "distributed",
        "conforming",
        "documents",
        "evaluation_documents",
        "query_documents",
        "errors",
        "types",
        "files",
        "progress",
        "clock",
        "peak_memory",
        "importing",
        "interruption",
        "processes",
        "user_cache",
        "run_lock",
        "streams",
        "provenance",
        "console",
        "json_files",
        "run_files",
        "run_folder",
        "testing",
    ),
    1: ("nn",),
    2: ("spaces",),
    3: ("metrics", "attacks", "data", "bounds", "benchmarks", "corruptions", "costs"),
    4: ("strategies", "objectives", "evaluation", "verification", "export", "proxies", "query_searches"),
    5: ("training", "report"),
    6: ("config",),
    7: ("runs",),
    8: ("stages", "ranking"),
    9: ("querying", "tables", "comparing", "planning", "tuning"),
    10: (
        "commands",
        "search",
        "retrain",
        "evaluate",
        "rank",
        "benchmark",
        "query",
        "compare",
        "tune",
        "",
        "__main__",
        "api",
        "hub",
        "finished_run",
        "entry_module",
    ),
}
LEVEL_OF = {room: level for level, rooms in LEVELS.items() for room in rooms}
ONLY_IN = {
    "hydra": {"config", "runs"},
    "omegaconf": {"config", "runs", "ranking", "querying", "tables", "comparing", "tuning"},
    "pytorch_lightning": {"training"},
    "wandb": {"training"},
    "matplotlib": {"report", "ranking", "querying", "tables", "comparing", "tuning"},
    "jinja2": {"report"},
    "optuna": {"config", "tuning"},
    "foolbox": {"evaluation"},
    "pyautoattack": {"evaluation"},
    "auto_LiRPA": {"bounds"},
    "onnxruntime": {"export"},
    "huggingface_hub": {"hub"},
}
ACROSS = {("metrics", "bounds"), ("comparing", "querying")}
"""(room, room of its own level that it may import)."""
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
    return names


def test_every_room_has_a_level():
    assert {room_of(path) for path in FILES} <= set(LEVEL_OF)


def misplaced(path: Path) -> Iterator[str]:
    """What a file imports and may not."""
    own = LEVEL_OF[room_of(path)]
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "dsrna" and len(parts) > 1:
            room = parts[1]
            beside = room == room_of(path) or own in (0, 4, 10) or (room_of(path), room) in ACROSS
            if LEVEL_OF[room] > own or (LEVEL_OF[room] == own and not beside):
                yield f"{name} is not below {path}"
        elif parts[0] in ONLY_IN and room_of(path) not in ONLY_IN[parts[0]]:
            yield f"{name} does not belong in {path}"


def test_imports_go_down():
    """All files in one test: a test for each of them costs more than what it looks at."""
    assert [problem for path in FILES for problem in misplaced(path)] == []


def test_no_module_imports_itself_by_way_of_others():
    """Imports inside functions are left out: they are there because what they import is slow."""
    names = {path: ".".join(("dsrna", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in FILES}
    modules = {name.removesuffix(".__init__"): path for path, name in names.items()}
    before = {
        name: {found for found in imported_at_once(path, set(modules)) if found in modules and found != name}
        for name, path in modules.items()
    }
    TopologicalSorter(before).prepare()  # raises CycleError


def imported_at_once(path: Path, modules: set[str]) -> set[str]:
    """What a module imports when it is imported; of a package from which it takes modules, those."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & modules or {node.module}
    return found


@pytest.mark.slow
def test_importing_changes_nothing():
    program = """
import gc; gc.disable()
import importlib, pkgutil, random, warnings
import numpy, torch
import hydra, pytorch_lightning, foolbox, sklearn, wandb  # their own side effects are not ours
state = lambda: (torch.get_rng_state().tolist(), random.getstate(), numpy.random.get_state()[1].tolist(),
                 torch.get_default_dtype(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
before = state()
import dsrna
for module in pkgutil.walk_packages(dsrna.__path__, "dsrna."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert state() == before
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=200)
