"""A process that trains together with the one that has the run: ``python -m dsrna.stages.follow``, started by that."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from dsrna.config.validate import settings_noted_in
from dsrna.distributed.meeting import DEVICE, FOLDER, Stages, arrival, joined, met_by_environment
from dsrna.errors import DsrnaError
from dsrna.interruption import Interrupted
from dsrna.run_folder import RunFolder
from dsrna.runs.sources import load_splits
from dsrna.stages.job import Job
from dsrna.stages.run import plan
from dsrna.training.dashboards.base import Dashboards

_OF_NO_USE = shutil.ignore_patterns("plots", "examples", "processes", "*.html", "*.log", "*.tmp")


def follow() -> None:
    """Takes part in the stages that the leader announces, in a folder of its own that is gone in the end.

    Every stage begins with what the run folder holds then; what is written into the copy is of no use.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the leader is told, and tells the others
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.getLogger("dsrna").setLevel(logging.ERROR)  # what is to be said, the leader says
    warnings.simplefilter("ignore")
    store, rank, size, local_rank = met_by_environment()
    run, device = RunFolder(Path(store.get(FOLDER).decode())), store.get(DEVICE).decode()
    settings = settings_noted_in(run.config_yaml)
    splits = load_splits(settings)
    fingerprint, stages = f"{run.read_run()['fingerprint']} {splits.digest}", Stages(store)
    store.set(arrival(rank), "here")
    with joined(store, rank, size, local_rank, device), TemporaryDirectory(prefix="dsrna-") as scratch:
        for name in stages.heard():
            folder = RunFolder(Path(scratch) / name)
            shutil.copytree(run.path, folder.path, ignore=_OF_NO_USE)
            _share_examples(run, folder)
            job = Job(settings, folder, fingerprint, splits, Dashboards(), stages)
            job.choose_threads()
            stages.ready()
            plan(settings)[name](job)


def _share_examples(run: RunFolder, folder: RunFolder) -> None:
    """Adversarial images, a file for each batch, go to the run folder itself, whoever finds them."""
    for stage in run.networks:
        theirs, own = (of.evaluation_dir / stage / "examples" for of in (run, folder))
        theirs.mkdir(parents=True, exist_ok=True)
        own.parent.mkdir(parents=True, exist_ok=True)
        own.symlink_to(theirs.absolute(), target_is_directory=True)


def main() -> None:
    """The process's own main; ends with it where the leader does."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        follow()
    except Interrupted:
        return
    except DsrnaError as error:
        sys.stderr.write(f"[error] {error}\n")
        raise SystemExit(2) from None


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    main()
