"""Mutation check: does a test fail for each small mistake that is listed in the TOML files beside this one?

    make mutate                     # all of them
    make mutate ARGS="nn bounds"    # those of these files
    make mutate ARGS="--record experiments/mutations/README.md"

Each entry changes one place of the source in a copy of the repository and runs the test that must notice it. The run
fails, with the list, when a test passes in spite of the mistake, doesn't pass without it, doesn't run at all or not to
its end within --limit seconds: lack of time is no answer.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FAILED = 1  # pytest's status where tests ran and failed; anything else but 0 means that they did not run
LIMIT_S = 300
TIMED_OUT = -1
NOT_RUN = "not run"


@dataclass(frozen=True)
class Mutation:
    """One mistake. ``before`` occurs once in ``file``; ``test`` is the pytest id that passes without the mistake."""

    what: str
    file: str
    before: str
    after: str
    test: str


def mutations(*names: str) -> list[Mutation]:
    """The entries of the files of these names, of all files by default.

    Raises:
        FileNotFoundError: there is no file of such a name.
    """
    files = [HERE / f"{name}.toml" for name in names] or sorted(HERE.glob("*.toml"))
    return [Mutation(**entry) for file in files for entry in tomllib.loads(file.read_text())["mutation"]]


def faults(mutation: Mutation, root: Path = ROOT) -> list[str]:
    """What is wrong with an entry itself; empty where it can be applied."""
    source, (test, _, name) = root / mutation.file, mutation.test.partition("::")
    found = []
    times = source.read_text().count(mutation.before) if source.is_file() else 0
    if times != 1:
        found.append(f"`before` occurs {times} times in {mutation.file}, not once")
    if mutation.before == mutation.after:
        found.append("`after` changes nothing")
    function = name.rpartition("::")[2].partition("[")[0]
    if not (root / test).is_file() or (function and f"def {function}(" not in (root / test).read_text()):
        found.append(f"there is no test {mutation.test}")
    return found


@contextmanager
def applied(mutation: Mutation, root: Path) -> Iterator[None]:
    """The repository at ``root`` with the mistake in it."""
    file = root / mutation.file
    right = file.read_text()
    try:
        file.write_text(right.replace(mutation.before, mutation.after))
        yield
    finally:
        file.write_text(right)


def copy_of_repository(folder: Path) -> Path:
    """What git tracks, or would track, copied into ``folder``."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def status_of(test: str, root: Path, limit_s: float = LIMIT_S) -> int:
    """pytest's exit status for one test, with the source at ``root``, or ``TIMED_OUT``."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--timeout=0", test]
    try:
        return subprocess.run(command, cwd=root, env=environment, capture_output=True, timeout=limit_s).returncode
    except subprocess.TimeoutExpired:
        return TIMED_OUT


def check(mutation: Mutation, root: Path, statuses: dict[str, int], limit_s: float = LIMIT_S) -> str:
    """``"noticed"``, or what is wrong. ``statuses`` remembers how tests end without a mistake."""
    wrong = faults(mutation, root)
    if wrong:
        return "; ".join(wrong)
    if mutation.test not in statuses:
        statuses[mutation.test] = status_of(mutation.test, root, limit_s)
    if statuses[mutation.test] == TIMED_OUT:
        return f"no answer within {limit_s:g} s, without the mistake"
    if statuses[mutation.test] != 0:
        return "the test does not pass without the mistake either"
    with applied(mutation, root):
        status = status_of(mutation.test, root, limit_s)
    if status == FAILED:
        return "noticed"
    if status == TIMED_OUT:
        return f"no answer within {limit_s:g} s"
    return "NOT NOTICED" if status == 0 else f"the test did not run (pytest's status {status})"


def record(outcomes: list[tuple[Mutation, str]], seconds: float) -> str:
    """The outcomes as a page."""
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    noticed = sum(outcome == "noticed" for _, outcome in outcomes)
    run = sum(outcome != NOT_RUN for _, outcome in outcomes)
    rows = [f"| {m.what} | `{m.file}` | `{m.test}` | {outcome} |" for m, outcome in outcomes]
    return "\n".join(
        [
            "# Mutation check",
            "",
            f"`make mutate` at revision {revision.strip()}: {run} of {len(outcomes)} deliberate mistakes run, "
            f"{noticed} noticed by the test named for them, in {seconds / 60:.0f} minutes on a CPU "
            f"({platform.machine()}, Python {platform.python_version()}). "
            "The mistakes themselves: [tests/mutations](../../tests/mutations).",
            "",
            "| mistake | file | test that must fail | outcome |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def check_all(chosen: Sequence[Mutation], jobs: int, minutes: float, limit_s: float) -> list[tuple[Mutation, str]]:
    """The outcome of each mistake; mistakes of one test go one after another, different tests side by side.

    Those that are not begun after so many minutes are ``"not run"``.
    """
    end = time.monotonic() + 60 * minutes
    of_test: dict[str, list[Mutation]] = defaultdict(list)
    for mutation in chosen:
        of_test[mutation.test].append(mutation)
    outcomes: dict[Mutation, str] = {}

    def work(together: list[Mutation]) -> None:
        root, statuses = roots.pop(), {}
        for mutation in together:
            outcomes[mutation] = check(mutation, root, statuses, limit_s) if time.monotonic() < end else NOT_RUN
            print(f"{len(outcomes)}/{len(chosen)} {outcomes[mutation]}: {mutation.what}", flush=True)
        roots.append(root)

    with tempfile.TemporaryDirectory(prefix="dsrna-mutate-") as folder, ThreadPoolExecutor(jobs) as pool:
        roots = [copy_of_repository(Path(folder) / str(number)) for number in range(jobs)]
        list(pool.map(work, of_test.values()))
    return [(mutation, outcomes[mutation]) for mutation in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="the TOML files to use, without their ending; all by default")
    parser.add_argument("--record", type=Path, help="where to write the outcomes as a page")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no mistake after this time")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for one test; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="tests side by side; default: one a core")
    arguments = parser.parse_args()
    began = time.monotonic()
    outcomes = check_all(mutations(*arguments.names), arguments.jobs, arguments.minutes, arguments.limit)
    if arguments.record is not None:
        arguments.record.parent.mkdir(parents=True, exist_ok=True)
        arguments.record.write_text(record(outcomes, time.monotonic() - began))
    for mutation, outcome in outcomes:
        if outcome != "noticed":
            print(f"{outcome}: {mutation.what} ({mutation.file}, {mutation.test})")
    bad = sum(outcome != "noticed" for _, outcome in outcomes)
    print(f"{len(outcomes) - bad} of {len(outcomes)} mistakes noticed")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
