"""Processes of their own that start at once: forked from a server that has imported what commands import."""

import multiprocessing
import os
from multiprocessing.context import ForkServerContext
from pathlib import Path

from dsrna.commands import main_of

IMPORTED = [
    "dsrna.commands",
    "dsrna.stages.run",
    "dsrna.ranking.run",
    "dsrna.querying.run",
    "dsrna.runs.life_cycle",
    "dsrna.evaluation.foolbox_attacks",
    "pytorch_lightning",
    "sklearn.datasets",
]
"""What each of them would import by itself otherwise."""


def apart() -> ForkServerContext:
    """Its processes know nothing of the one that starts them, as those of ``spawn``, which take seconds to import."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def main_with_errors_in(file: Path, name: str, environment: dict[str, str]) -> None:
    """A command of that name with this process's command line; what it writes to standard error goes to ``file``."""
    os.environ.clear()  # the server's is that of an earlier test
    os.environ.update(environment)
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), 2)
    main_of(name)
