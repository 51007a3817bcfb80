"""The entry of ``python -m dsrna.benchmark train``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dsrna.config.benchmark_train import benchmark_training_settings
from dsrna.config.launch import launch
from dsrna.config.request import Request
from dsrna.config.settings import BenchmarkTrainingSettings
from dsrna.console import say


def train_networks(arguments: Sequence[str]) -> None:
    """Runs the command with these overrides and flags of Hydra's."""
    sys.argv = [sys.argv[0], *arguments]  # where Hydra and its launchers look for them
    launch("benchmark_train", benchmark_training_settings, train, finish_sweep, say)


def train(request: Request[BenchmarkTrainingSettings]) -> float | None:
    """See :func:`dsrna.pipeline.benchmark_training.train`."""
    from dsrna.pipeline.benchmark_training import train as train_all  # slow to import: wrong settings come before

    train_all(request)
    return None


def finish_sweep(folder: Path) -> None:
    """Writes one table of all jobs of a multirun."""
    from dsrna.pipeline.benchmark_training import collect

    for table in collect(folder):
        say(f"table over the jobs: {table}")
