"""What `dsrna plan` foretells of small runs, beside what they then take: CPU time, memory and disk.

    python experiments/plan/check.py

Each plan and each run is a process of its own. Time is the CPU time of that process, which other programs on the
machine don't change: on one thread, and alone on a core, it is the time that passes. Memory is the peak of the run's
process as the kernel knows it, disk the size of its folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FEW_ATTACKS = ["evaluate.attacks.autoattack=null", "evaluate.eps_curve=[0.1]", "trainer.threads=1"]
RUNS = {
    "retraining RNAS on PGD-7": [
        "retrain", "from=RNAS", "retrain.channels=8", "retrain.epochs=5", "retrain.baseline=false", *FEW_ATTACKS,
    ],
    "search by PC-DARTS, Jacobian; FGSM-RS": [
        "search", "strategy=pcdarts", "search.epochs=6", "search.warmup_epochs=2", "search.cells=3",
        "search.random_cells=8", "objective=fast", "retrain.epochs=4", "retrain.channels=8", *FEW_ATTACKS,
    ],
    "the same, all attacks, with a baseline": [
        "search", "strategy=pcdarts", "search.epochs=6", "search.warmup_epochs=2", "search.cells=3",
        "search.random_cells=8", "evaluate.eps_curve=[0.05,0.1]", "retrain.epochs=6", "trainer.threads=1",
    ],
}  # fmt: skip


def measured(words: list[str]) -> tuple[float, int]:
    """CPU seconds and peak bytes of a process."""
    began = subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(began.pid, 0)
    if status:
        raise SystemExit(f"python -m {' '.join(words)} ended with {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def main() -> None:
    print(f"{'':42} {'':8} {'foretold (range)':>28} {'measured':>9} {'ratio':>6}")
    for title, (command, *overrides) in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "plan.json"
            cost, _ = measured(["dsrna", "plan", command, *overrides, "--json", str(file)])
            seconds, peak = measured([f"dsrna.{command}", *overrides, f"out={folder}/runs", "trainer.progress=off"])
            disk = sum(path.stat().st_size for path in Path(folder, "runs").rglob("*") if path.is_file())
            told = json.loads(file.read_text())
            stages = json.loads(next(Path(folder, "runs").glob("*/run.json")).read_text())["stages"]
        for what, unit, scale, found in (
            ("seconds", "s", 1, seconds), ("memory", "MB", 1e6, peak), ("disk", "MB", 1e6, disk),
        ):  # fmt: skip
            low, expected, high = (told["whole"][what][key] / scale for key in ("low", "expected", "high"))
            within = "" if low <= found / scale <= high else "  outside"
            text = f"{expected:.4g} ({low:.4g} to {high:.4g})"
            print(f"{title:42} {what:8} {text:>28} {found / scale:9.4g} {expected * scale / found:6.2f} {unit}{within}")
            title = ""
        shares = {
            name: f"{told['stages'][name]['seconds']['expected']:.0f} s of {stage['seconds']:.0f} s of the clock"
            for name, stage in stages.items()
        }
        print(f"  the plan took {cost:.0f} s; stages: {shares}", flush=True)


if __name__ == "__main__":
    main()
