"""Does this tree give the numbers that another revision gave? Small jobs are run by both, and what they wrote compared.

    python tests/same_results.py REVISION [JOB …]

For refactorings, which must not change a bit: both spaces, several strategies, metrics and implementations, adversarial
and certified retraining, evaluation of a run folder of the revision, a search by queries, and a search that is stopped
at the revision and resumed here. It needs no data set. Numbers are compared on one machine with one thread; seconds,
dates, versions and pictures aren't compared. The exit status is 1 where anything differs, with the places. With
``--keep FOLDER`` the revision's runs stay there, for another time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
CPU = "trainer=cpu trainer.threads=1 trainer.progress=off"
SMALL = f"{CPU} data=digits data.train_limit=200 data.test_limit=20 threat.eps=0.1"
QUICK = "evaluate=quick evaluate.attacks.autoattack=null evaluate.attacks.cw=null"
CAME_LATER = "evaluate.attacks.square=null evaluate.attacks.apgd_dlr=null"
"""What leaves out attacks that older revisions don't know."""
RETRAIN = "retrain.batch_size=32 retrain.channels=4 retrain.selection_steps=2"
SEARCH = (
    f"search {SMALL} {QUICK} {RETRAIN} retrain.epochs=2 search.batch_size=32 search.channels=4 search.random_cells=4 "
    "search.warmup_epochs=0"
)
DARTS = f"{SEARCH} space=darts space.nodes=2 search.cells=3 retrain.cells=3"
SHORT = f"{DARTS} search.epochs=2"
NASBENCH = f"{SEARCH} space=nasbench201 search.epochs=2 search.cells=1 retrain.cells=1 stages=[search,retrain,report]"
JOBS = {
    "default": f"{SHORT} seed=1",
    "metrics": f"{SHORT} seed=2 strategy=pcdarts metric=combined hypergradient=unrolled stages=[search,report]",
    "textbook": f"{SHORT} strategy=drnas metric=none regulariser=[operation_dropout] search.implementation=textbook "
    "stages=[search]",
    "nasbench201": f"{NASBENCH} seed=3 strategy=darts regulariser=[beta_decay] metric=jacobian",
    "certified": f"{NASBENCH} strategy=gdas metric=certified retrain.certified=true certified.epochs=2 "
    "certified.batch_size=32",
    "attacked": f"{NASBENCH} strategy=gaea optimizer@search.alphas_optimizer=exponentiated_gradient metric=none "
    "objective@search.weights_objective=fast objective@search.architecture_objective=fast selection=shortlist",
    "published": f"retrain {SMALL} {RETRAIN} from=PC_DARTS objective=trades retrain.epochs=1 retrain.cells=3 "
    "retrain.auxiliary=true retrain.drop_path=0.1 stages=[retrain]",
    "again": f"evaluate {CPU} {QUICK} from=default threat.eps=0.2",
    "query": "query data=digits space=darts method=[random,warmup] proxy=[snip] repeats=1 budget=51 images=8 cells=3 "
    "channels=4",
}
"""Name -> command line. ``from=default`` is the folder in which the revision ran that job."""
STOPPED, STOP_AFTER = f"{DARTS} search.epochs=6 seed=4 stages=[search]", 2
NOT_COMPARED = {"run.json", "run.log", "run.lock", "overrides.yaml", "config.yaml", "report.html"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("jobs", nargs="*", help=f"some of: {', '.join([*JOBS, 'resumed'])}; all without any")
    parser.add_argument(
        "--keep", type=Path, help="folder for the revision's runs, which are taken from there if they exist"
    )
    chosen = parser.parse_args()
    names = chosen.jobs or [*JOBS, "resumed"]
    if "again" in names and "default" not in names:
        names.insert(0, "default")
    if unknown := set(names) - {*JOBS, "resumed"}:
        parser.error(f"no such job: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as scratch:
        there, here = (chosen.keep or Path(scratch) / "there").absolute(), Path(scratch) / "here"
        tree = Path(scratch) / "tree"
        git("worktree", "add", "--quiet", "--detach", str(tree), chosen.revision)
        try:
            differences = [line for name in names for line in compared(name, tree, there, here)]
        finally:
            git("worktree", "remove", "--force", str(tree))
    print("\n".join(differences) or "the same, to the bit")
    sys.exit(bool(differences))


def git(*words: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *words], check=True)


def compared(name: str, tree: Path, there: Path, here: Path) -> Iterator[str]:
    """Runs a job by both trees; yields what differs."""
    began = time.monotonic()
    if name == "resumed":
        if not (there / name).exists():
            run_job(tree, f"{STOPPED} resume=never", there / name)
        stop_job(tree, STOPPED, here / name)
        run_job(ROOT, as_before(f"{STOPPED} resume=auto"), here / name)
    else:
        line = JOBS[name].replace("from=default", f"from={there / 'default'}")
        if not (there / name).exists():
            run_job(tree, line, there / name)
        run_job(ROOT, as_before(line), here / name)
    before, after = read(there / name), read(here / name)
    places = [*differing(before, after, name)]
    print(f"{name}: {len(before)} files, {len(places)} differences, {time.monotonic() - began:.0f} s", flush=True)
    yield from places


def as_before(line: str) -> str:
    """The command line by which this tree does what older ones did."""
    return line.replace(QUICK, f"{QUICK} {CAME_LATER}")


def command(line: str, folder: Path) -> list[str]:
    kind, *words = line.split()
    return [sys.executable, "-m", f"dsrna.{kind}", *words, f"hydra.run.dir={folder}"]


def environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}


def run_job(tree: Path, line: str, folder: Path) -> None:
    done = subprocess.run(command(line, folder), cwd=tree, env=environment(tree), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{line}\nended with {done.returncode} in {tree}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def stop_job(tree: Path, line: str, folder: Path) -> None:
    """Begins a search and stops it by a signal after some epochs."""
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command(line, folder), cwd=tree, env=environment(tree), stdout=silent, stderr=silent)
    metrics = folder / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") >= STOP_AFTER):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    if process.wait() != 128 + signal.SIGTERM:
        raise SystemExit(f"{line}\nwasn't stopped in its midst: it ended with {process.returncode}")


def read(folder: Path) -> dict[str, Any]:
    """What the files of a run folder say, by their names."""
    readers = {".json": read_json, ".jsonl": read_lines, ".ckpt": read_checkpoint}
    files = (path for path in sorted(folder.rglob("*")) if path.suffix in readers and path.name not in NOT_COMPARED)
    return {str(path.relative_to(folder)): readers[path.suffix](path) for path in files}


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def read_lines(path: Path) -> Any:
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_checkpoint(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def differing(before: Any, after: Any, place: str) -> Iterator[str]:
    """Places where two values aren't equal to the bit."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            if measured(key):
                continue
            if key not in before or key not in after:
                yield f"{place}/{key}: only {'before' if key in before else 'now'}"
            else:
                yield from differing(before[key], after[key], f"{place}/{key}")
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from differing(*pair, f"{place}/{number}")
    elif isinstance(before, torch.Tensor) and isinstance(after, torch.Tensor):
        if before.dtype != after.dtype or before.shape != after.shape or not torch.equal(bits(before), bits(after)):
            yield f"{place}: tensors differ"
    elif type(before) is not type(after) or (before != after and repr(before) != repr(after)):
        yield f"{place}: {str(before)[:60]} before, {str(after)[:60]} now"


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's bytes, so that NaN equals itself and 0 isn't -0."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def measured(key: Any) -> bool:
    """Whether values under this key are of the machine and the hour, not of the job."""
    words = ("second", "digest", "revision", "version", "created", "folder", "fingerprint", "memory")
    return any(word in str(key) for word in words)


if __name__ == "__main__":
    main()
