"""Does a search of the DARTS space find better cells than chance? Its cells and random ones, trained the same way.

Run: ``python experiments/darts_evidence/evidence.py run --out FOLDER [--experiment certified_evidence] [--minutes M]
[overrides]``. Sizes, epochs and data are those of ``conf/experiment/darts_evidence.yaml``, or of the other one, and of
overrides, as ``trainer=cpu data.root=DATA``. Every
search and every training is a run folder below ``FOLDER``; what has ended is one line of ``FOLDER/evidence.jsonl``. The
same command goes on where it, or a killed one, stopped; several at once share the work. After M minutes nothing new is
begun. Then ``… report FOLDER/evidence.jsonl`` says how the searched cells do beside random ones with about as many
parameters.

A cell's network learns from the training split by the experiment's objective; accuracies are those of the last weights
on test images, which choose nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch
from plan import RECIPES, Search, Task, Training, plan
from report import report

from dsrna.comparing.random_cells import random_cell
from dsrna.config.command_line import quoted
from dsrna.config.compose import compose
from dsrna.config.parts import build_part
from dsrna.config.validate import validated
from dsrna.functional.seeding import generator
from dsrna.json_files import read_json, read_lines
from dsrna.run_folder import RunFolder
from dsrna.runs.exit_status import run_command
from dsrna.runs.inside import work_together
from dsrna.runs.sources import load_splits
from dsrna.spaces import genotype_codec
from dsrna.spaces.genotype import Genotype
from dsrna.stages.retrain import describe
from dsrna.training.trained_network import build_network

sys.path.append(str(Path(__file__).resolve().parents[1]))
from recorded import do_once, names_done, run_in

RECORD = "evidence.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    given = commands.add_parser("run")
    given.add_argument("--out", type=Path, required=True)
    given.add_argument("--experiment", choices=list(RECIPES), default="darts_evidence")
    given.add_argument("--recipes", nargs="+", metavar="NAME", help="only these of the experiment's")
    given.add_argument("--minutes", type=float, default=float("inf"), help="after which nothing new is begun")
    given.add_argument("--searches", type=int, default=3, help="seeds of every recipe")
    given.add_argument("--random-cells", type=int, default=8)
    given.add_argument("--trainings", type=int, default=2, help="seeds of every cell's training")
    given.add_argument(
        "--training-override", action="append", default=[], help="of trainings alone, as data.train_limit=24000"
    )
    given.add_argument("overrides", nargs="*")
    shown = commands.add_parser("report")
    shown.add_argument("file", type=Path)
    chosen = parser.parse_args()
    if chosen.command == "report":
        report([line for _, line in read_lines(chosen.file, dict[str, Any])])
        return
    recipes = RECIPES[chosen.experiment]
    names = chosen.recipes or list(recipes)
    if unknown := set(names) - set(recipes):
        parser.error(f"unknown recipes {', '.join(sorted(unknown))}; choose from {', '.join(recipes)}")
    tasks = list(plan({name: recipes[name] for name in names}, chosen.searches, chosen.random_cells, chosen.trainings))
    overrides = [f"+experiment={chosen.experiment}", *chosen.overrides]
    work(tasks, chosen.out, overrides, [*overrides, *chosen.training_override], chosen.minutes)


def work(
    tasks: list[Task], out: Path, of_searches: list[str], of_trainings: list[str], minutes: float = float("inf")
) -> None:
    """Does, one after the other, what isn't done yet and no other process is doing."""

    def left() -> list[Task]:
        done = names_done(out / RECORD)
        return [task for task in tasks if task.name not in done]

    def do_one(task: Task) -> bool:
        return do(task, out, of_searches if isinstance(task, Search) else of_trainings)

    work_together(left, do_one, time.monotonic() + 60 * minutes)


def do(task: Task, out: Path, overrides: list[str]) -> bool:
    """Whether the task is done now; not where its search isn't, or another process is at it."""
    if isinstance(task, Training) and task.search.name not in names_done(out / RECORD):
        return False

    def work(folder: RunFolder) -> dict[str, Any]:
        return searched(task, folder, overrides) if isinstance(task, Search) else trained(task, folder, overrides)

    return do_once({"name": task.name, "recipe": task.recipe, "seed": task.seed}, out / RECORD, work)


def searched(search: Search, folder: RunFolder, overrides: list[str]) -> dict[str, Any]:
    run_in(folder, "search", [*overrides, *search.overrides, f"seed={search.seed}"])
    epochs = read_json(folder.architecture_json)["epochs"]
    return {
        "kind": "search",
        "genotype": read_json(folder.genotype_json),
        "entropy": epochs[-1]["entropy"],
        "skips": skips(epochs[-1]["genotype"]),
    }


def trained(training: Training, folder: RunFolder, overrides: list[str]) -> dict[str, Any]:
    out = folder.path.parent
    source = out / f"{training.cell}.json"
    if not source.exists():
        genotype_codec.save(cell_of(training, out, overrides), source)
    run_in(
        folder,
        "retrain",
        [*overrides, f"seed={training.seed}", f"from={quoted(str(source))}", "stages=[retrain,evaluate]"],
    )
    network = (folder.read_evaluation() or {})["networks"]["retrain"]
    result = network["result"]
    (attacked,) = (record for record in result["records"] if record["attack"] == "pgd20")
    (certified,) = network["verification"]["curve"] if network["verification"] else (None,)
    return {
        "kind": "training",
        "search_seed": training.search.seed,
        "cell": training.cell,
        "of": training.search.name,
        "parameters": network["parameters"],
        "clean": result["clean"]["accuracy"],
        "pgd20": attacked["accuracy"],
        **({} if certified is None else {"certified": certified["certified"]}),
        "images": attacked["images"],
        "genotype": read_json(folder.genotype_json),
    }


def cell_of(training: Training, out: Path, overrides: list[str]) -> Genotype:
    """As it was recorded, or, of a random cell's first training, drawn."""
    recorded = {
        line.get("cell", line["name"]): line["genotype"] for _, line in read_lines(out / RECORD, dict[str, Any])
    }
    if training.cell in recorded:
        return genotype_codec.from_json(recorded[training.cell])
    return drawn(training, genotype_codec.from_json(recorded[training.search.name]), overrides)


def drawn(training: Training, like: Genotype, overrides: list[str]) -> Genotype:
    """The random cell that goes with a search's cell."""
    settings = validated(compose("retrain", overrides))
    splits = load_splits(settings)

    def parameters_of(cell: Genotype) -> int:
        with torch.device("meta"):
            network = build_network(describe(settings, splits, cell))
        return sum(parameter.numel() for parameter in network.parameters())

    draw = generator(training.search.seed, "random cell", training.cell)
    return random_cell(build_part(settings.space, "space"), like, parameters_of, draw)


def skips(genotype: dict[str, Any]) -> dict[str, int]:
    """Skip connections of each cell of a genotype's JSON."""
    return {
        name: sum(operation == "skip_connect" for node in cell["nodes"] for operation, _ in node)
        for name, cell in genotype["cells"].items()
    }


if __name__ == "__main__":
    run_command(main)
