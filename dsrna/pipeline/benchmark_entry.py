"""The entry of ``python -m dsrna.benchmark train``."""

from __future__ import annotations

from pathlib import Path

from dsrna.config.benchmark_train import benchmark_training_settings
from dsrna.config.launch import Request, launch
from dsrna.config.settings import BenchmarkTrainingSettings
from dsrna.pipeline.entry import say


def train_main() -> None:
    """Runs the command with this process's command line; exit statuses as of :func:`dsrna.pipeline.entry.main_of`."""
    try:
        launch("benchmark_train", benchmark_training_settings, train, finish_sweep, say)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def train(request: Request[BenchmarkTrainingSettings]) -> float | None:
    """See :func:`dsrna.pipeline.benchmark_training.train`."""
    from dsrna.pipeline.benchmark_training import train as train_networks  # slow to import: wrong settings come before

    train_networks(request)
    return None


def finish_sweep(folder: Path) -> None:
    """Writes one table of all jobs of a multirun."""
    from dsrna.pipeline.benchmark_training import collect

    for table in collect(folder):
        say(f"table over the jobs: {table}")
