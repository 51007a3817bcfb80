"""dsrna in Python: what the commands do, as functions that return what came out.

>>> import dsrna
>>> run = dsrna.search(None, ["trainer=debug"])  # doctest: +SKIP
>>> run.genotype, run.network(), run.accuracies, run.report  # doctest: +SKIP

Each takes the overrides of its command, for one job, and raises what that would print: a
:class:`~dsrna.errors.DsrnaError` that says what to do. Nothing exits, the global random number generators are left as
they were, and Ctrl-C (a notebook's stop button) leaves a run that ``resume=auto`` goes on with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsrna.finished_run import Run

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dsrna.spaces.genotype import Genotype
    from dsrna.training.trained_network import TrainedNetwork

Source = str | Path | Run
"""A run, a run folder, a genotype file, a published name (``"RNAS"``), or a checkpoint."""


def search(experiment: str | None = None, overrides: Sequence[str] = ()) -> Run:
    """Searches, derives, retrains, evaluates and reports, as ``python -m dsrna.search`` does.

    Args:
        experiment: a name of ``conf/experiment``; None for the embedded default.
        overrides: ``key=value`` each, as on the command line.

    Raises:
        DsrnaError: the settings, the data or something on disk can't be used; the message says what to do.
    """
    return _run("search", [*([f"+experiment={experiment}"] if experiment is not None else []), *overrides])


def retrain(source: Source | None, overrides: Sequence[str] = ()) -> Run:
    """Trains the network of a genotype, evaluates and reports, as ``python -m dsrna.retrain from=…`` does.

    Without a source, that of ``model=…``.
    """
    return _run("retrain", [*_from(source), *overrides])


def evaluate(source: Source | None, overrides: Sequence[str] = ()) -> Run:
    """Evaluates trained networks again and reports, as ``python -m dsrna.evaluate from=…`` does.

    Without a source, that of ``model=… checkpoint=…``.
    """
    return _run("evaluate", [*_from(source), *overrides])


def verify(source: Source | None, overrides: Sequence[str] = ()) -> Run:
    """Evaluates trained networks by attacks and certified bounds: ``evaluate`` with ``evaluate=certified``."""
    return evaluate(source, ["evaluate=certified", *overrides])


def rank(overrides: Sequence[str] = ()) -> Run:
    """Ranks architectures by zero-cost proxies, as ``python -m dsrna.rank`` does; see :attr:`Run.scores`."""
    return _run("rank", list(overrides))


def query(overrides: Sequence[str] = ()) -> Run:
    """Searches tables or proxies by queries, as ``python -m dsrna.query`` does; see :attr:`Run.searches`."""
    return _run("query", list(overrides))


def compare(comparison: str | None = None, overrides: Sequence[str] = ()) -> Run:
    """Compares methods by a plan, as ``python -m dsrna.compare +comparison=…`` does; see :attr:`Run.report`.

    For finished runs side by side without statistics, see :func:`compare_runs`.

    Args:
        comparison: a name of ``conf/comparison``; None where the overrides hold the rows.
        overrides: ``key=value`` each, as on the command line.
    """
    return _run("compare", [*([f"+comparison={comparison}"] if comparison is not None else []), *overrides])


def tune(study: str | None = None, overrides: Sequence[str] = ()) -> Run:
    """Searches for settings, as ``python -m dsrna.tune +tuning=…`` does; see :attr:`Run.report` and ``study.json``.

    Args:
        study: a name of ``conf/tuning``; None where the overrides hold the ranges.
        overrides: ``key=value`` each, as on the command line.
    """
    return _run("tune", [*([f"+tuning={study}"] if study is not None else []), *overrides])


def consensus(*runs: str | Path | Run, file: str | Path | None = None) -> Genotype:
    """What the mean of several searches' operation weights stands for, as ``python -m dsrna consensus`` does.

    Args:
        runs: finished searches of one space, or folders of their run folders.
        file: where to write it as a genotype file, which :func:`retrain` takes.

    Raises:
        CheckpointError: there are fewer than two, or one isn't finished.
        ConfigError: they aren't of one space.
    """
    from dsrna.stages.consensus import agreed_genotype, searches_in, write_consensus

    searches = searches_in([_path(run) for run in runs])
    return agreed_genotype(searches) if file is None else write_consensus(searches, Path(file))


def load(source: str | Path | Run, stage: str | None = None, model: str | None = None) -> TrainedNetwork:
    """A trained network: images (N, C, H, W) in [0, 1] -> logits (N, K); on the CPU, in evaluation mode.

    Args:
        source: a run, a run folder, a folder of :func:`publish`, or a ``best.ckpt``.
        stage: which network of a run, see :meth:`Run.network`.
        model: the module and name that build it, where it isn't dsrna's, see :meth:`Run.network`.

    Raises:
        CheckpointError: there is none, or its file is damaged, or names another model.
    """
    from dsrna.training.published_network import is_published, load_published
    from dsrna.training.trained_network import load_network

    path = _path(source)
    if is_published(path):
        return load_published(path)[0]
    return Run(path).network(stage, model) if path.is_dir() else load_network(path, model)[0]


def publish(
    source: str | Path | Run,
    out: str | Path | None = None,
    stage: str | None = None,
    name: str | None = None,
    licence: str | None = None,
) -> Path:
    """A run's network as a folder for others, which :func:`load` reads, as ``python -m dsrna publish`` writes it.

    Args:
        source: a run or run folder.
        out: the folder, new or empty; None for ``published/STAGE`` in the run folder.
        stage: which network, see :meth:`Run.network`.
        name: title of its model card; None for the run's name.
        licence: of the weights, an SPDX identifier such as ``"apache-2.0"``.

    Returns:
        The folder.

    Raises:
        CheckpointError: there is no such network, or a file is damaged.
        ConfigError: ``out`` isn't empty, or can't be written to.
    """
    from dsrna.stages.publish import publish as publish_network

    return publish_network(_path(source), stage, None if out is None else Path(out), name, licence)


def predict(network: nn.Module | str | Path | Run, images: Any, batch_size: int = 256) -> Tensor:
    """The classes of images.

    Args:
        network: one in evaluation mode, or what :func:`load` takes.
        images: (N, C, H, W), tensor or array: floats in [0, 1], or bytes, which are divided by 255.
        batch_size: images at a time.

    Returns:
        Classes, (N,) int64, on the CPU.

    Raises:
        DataError: the images have another form or other values.
    """
    import torch

    from dsrna.errors import DataError

    x = torch.as_tensor(images)
    if x.ndim != 4:
        raise DataError(f"Expected images of shape (N, C, H, W), got {tuple(x.shape)}.")
    x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
    if x.numel() and not (x.min() >= 0 and x.max() <= 1):  # also with NaN
        raise DataError(f"Expected values in [0, 1], or bytes, got {x.min():.4g} to {x.max():.4g}; don't normalise.")
    module = network if isinstance(network, torch.nn.Module) else load(network)
    if module.training:
        raise DataError("Expected a network in evaluation mode: call network.eval(); batches would change the answers.")
    device = next(module.parameters()).device
    with torch.no_grad():
        found = [module(part.to(device)).argmax(1).cpu() for part in x.split(batch_size)]
    return torch.cat(found) if found else torch.empty(0, dtype=torch.int64)


def compare_runs(*runs: str | Path | Run) -> list[dict[str, Any]]:
    """Runs side by side.

    Returns:
        A dictionary a run: ``run`` (its folder's name), ``seed``, the settings in which they differ, ``threat``,
        accuracies in [0, 1] (``clean`` and one an attack), ``parameters``, ``state``.

    Raises:
        CheckpointError: one of them is no run folder.
    """
    from dsrna.report.sweep import sweep_table

    return [
        {"run": row.job, "seed": row.seed, **row.differs, "threat": row.threat, **row.numbers}
        | {"parameters": row.parameters, "state": row.state}
        for row in sweep_table([_path(run) for run in runs])
    ]


def _run(kind: str, overrides: list[str]) -> Run:
    from dsrna.commands import COMMANDS
    from dsrna.runs.in_process import run_in_process

    with _own_random_numbers():
        return Run(run_in_process(COMMANDS[kind], overrides))


def _path(source: str | Path | Run) -> Path:
    return source.path if isinstance(source, Run) else Path(source)


def _from(source: Source | None) -> list[str]:
    from dsrna.config.command_line import quoted

    return [] if source is None else [f"from={quoted(str(source.path if isinstance(source, Run) else source))}"]


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Training seeds the global generators; afterwards they are where the caller had them, after an error too (after
    which Lightning's ``isolate_rng`` would leave them).
    """
    import random

    import numpy as np

    from dsrna.training.rng import rng_state, set_rng_state

    state = rng_state(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        set_rng_state(state[0])
        random.setstate(state[1])
        np.random.set_state(state[2])
