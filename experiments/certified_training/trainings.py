"""Clean against certified accuracy of certified trainings, each with some values of what mixes the two.

Run: ``python experiments/certified_training/trainings.py run --out FOLDER [--networks NAME …] [overrides]``. Sizes,
data and epochs are those of ``conf/experiment/certified_trainings.yaml`` and of overrides. Every training is a run
folder below ``FOLDER`` and, once it has ended, a line of ``FOLDER/trainings.jsonl``. The same command goes on where it
was stopped; several at once share the work. ``… report FOLDER/trainings.jsonl --picture front.png`` prints the table
and draws the fronts.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from report import report

from dsrna.json_files import read_lines
from dsrna.run_folder import RunFolder
from dsrna.runs.exit_status import run_command
from dsrna.runs.inside import work_together

sys.path.append(str(Path(__file__).resolve().parents[1]))
from recorded import do_once, names_done, run_in

RECORD = "trainings.jsonl"
NETWORKS = {
    "cnn7": ["model=dsrna:cnn7", "model_arguments={width: 8, hidden: 16}"],
    "cell": ["from=DARTS_V2", "retrain.cells=3", "retrain.channels=8"],
}
TRAININGS = {
    "ibp": ["objective=ibp"],
    "crown_ibp": ["objective=crown_ibp"],
    "taps": ["objective=taps"],
    "staps": ["objective=staps"],
    **{f"sabr {alpha}": ["objective=sabr", f"objective.alpha={alpha}"] for alpha in (0.8, 0.4, 0.1)},
    **{f"mtl_ibp {alpha}": ["objective=mtl_ibp", f"objective.alpha={alpha}"] for alpha in (0.5, 0.1, 0.02)},
    **{f"cc_ibp {alpha}": ["objective=cc_ibp", f"objective.alpha={alpha}"] for alpha in (0.5, 0.1, 0.02)},
    "pgd": ["objective=pgd"],
}
"""Name -> overrides; the last one is adversarial training, which aims at no proof."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    given = commands.add_parser("run")
    given.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    given.add_argument("--trainings", nargs="+", choices=list(TRAININGS), default=list(TRAININGS))
    given.add_argument("--seeds", type=int, default=1)
    given.add_argument("--out", type=Path, required=True)
    given.add_argument("overrides", nargs="*")
    shown = commands.add_parser("report")
    shown.add_argument("file", type=Path)
    shown.add_argument("--picture", type=Path)
    chosen = parser.parse_args()
    if chosen.command == "report":
        report([line for _, line in read_lines(chosen.file, dict[str, Any])], chosen.picture)
        return
    tasks = [
        (network, training, seed)
        for seed in range(chosen.seeds)
        for network in chosen.networks
        for training in chosen.trainings
    ]

    def left() -> list[tuple[str, str, int]]:
        done = names_done(chosen.out / RECORD)
        return [task for task in tasks if name_of(*task) not in done]

    work_together(left, lambda task: do(task, chosen.out, chosen.overrides))


def name_of(network: str, training: str, seed: int) -> str:
    return f"{network}_{training.replace(' ', '_')}_s{seed}"


def do(task: tuple[str, str, int], out: Path, overrides: list[str]) -> bool:
    """Whether the task is done now; not where another process is at it."""
    network, training, seed = task
    about = {"name": name_of(*task), "network": network, "training": training, "seed": seed}
    given = [*NETWORKS[network], *TRAININGS[training], f"seed={seed}", *overrides]
    return do_once(about, out / RECORD, lambda folder: trained(folder, given))


def trained(folder: RunFolder, overrides: list[str]) -> dict[str, Any]:
    run_in(folder, "retrain", ["+experiment=certified_trainings", *overrides, "stages=[retrain,evaluate]"])
    network = (folder.read_evaluation() or {})["networks"]["retrain"]
    (proved,) = network["verification"]["curve"]
    return {
        "title": network["title"],
        "parameters": network["parameters"],
        "clean": network["result"]["clean"]["accuracy"],
        "images": network["result"]["clean"]["images"],
        **{key: proved[key] for key in ("eps", "certified", "certified_interval", "standing")},
        "proved_images": proved["images"],
        "proved_by": network["verification"]["proved_by"],
    }


if __name__ == "__main__":
    run_command(main)
