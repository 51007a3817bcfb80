"""Ranking: score random architectures, compare the ranks with the published tables, report."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
from torch import Tensor

from dsrna.benchmarks.columns import Column, accuracy_columns, check_asked_for
from dsrna.benchmarks.nas_robbench_201 import NasRobBench201
from dsrna.benchmarks.rank_agreement import Coefficient, rank_agreements
from dsrna.benchmarks.robustness_dataset import RobustnessDataset
from dsrna.benchmarks.sampling import random_architectures
from dsrna.benchmarks.tabular_benchmark import TabularBenchmark
from dsrna.config.launch import Request
from dsrna.config.parts import located
from dsrna.config.rank import benchmark_eps
from dsrna.config.settings import BenchmarkSettings, RankSettings
from dsrna.data.source import root_folder
from dsrna.data.splits import Splits, stratified
from dsrna.errors import CheckpointError, ConfigError
from dsrna.files import write_json
from dsrna.functional.seeding import generator
from dsrna.pipeline.folders import create, unfinished
from dsrna.pipeline.job import splits_of
from dsrna.pipeline.logs import logging_to
from dsrna.pipeline.scoring import Scorer, score_all
from dsrna.progress import Progress
from dsrna.report.ranking_page import write_ranking
from dsrna.run_folder import RunFolder
from dsrna.spaces.nasbench201.index import string_at

log = logging.getLogger("dsrna")

SCHEMA = "dsrna.ranking"
VERSION = 1
_ROBUSTNESS_FOLDER = "robustness-data"
_SHOWN = 3
"""Proxies whose scores stand beside the progress bar; more don't fit on a line."""


def rank(request: Request[RankSettings]) -> None:
    """Runs a ranking to its end, or continues it where it stopped.

    Raises:
        DsrnaError: with a message for the user; the run folder keeps what was done.
        KeyboardInterrupt: Ctrl-C; the scores so far are saved.
    """
    settings = request.settings
    folder = unfinished(request)
    if folder is not None and folder.is_complete:
        with logging_to(folder.run_log):
            log.info("finished already: %s", folder.report_html)
        return
    # Nothing is written before tables and data are known to be usable.
    indices = random_architectures(settings.n, generator(settings.seed, "architectures"))
    columns = published_columns(settings, indices)
    scorer = build_scorer(settings)
    folder = folder or create(request, ["score", "report"], "cpu")
    with logging_to(folder.run_log):
        log.info("run folder: %s", folder.path)
        _stage(folder, "score", lambda: _score(folder, scorer, indices, settings), request.resume_command)
        _stage(folder, "report", lambda: _report(folder, columns, indices, settings), request.resume_command)


def published_columns(settings: RankSettings, indices: Sequence[int]) -> list[Column]:
    """The columns asked for of both tables, for the given architectures.

    Raises:
        ConfigError: neither table has a data set, metric or eps that was asked for.
        DataError: a table is missing or damaged.
    """
    chosen, eps = settings.benchmark, benchmark_eps(settings)
    tables = open_tables(chosen)
    for table in tables:
        if chosen.dataset not in table.datasets:
            raise ConfigError(
                f"{table.title} has no data set {chosen.dataset!r} here; there are: {', '.join(table.datasets)}. "
                "(conf: benchmark.dataset)"
            )
    check_asked_for(tables, chosen.dataset, chosen.metrics, eps)
    found = [column for t in tables for column in accuracy_columns(t, chosen.dataset, indices, chosen.metrics, eps)]
    if not found:
        raise ConfigError("No column of the tables has one of these metrics at one of these eps. (conf: benchmark)")
    return found


def open_tables(settings: BenchmarkSettings) -> tuple[TabularBenchmark, TabularBenchmark]:
    """Both published tables.

    Raises:
        DataError: one is missing or damaged.
    """
    root = root_folder(settings.root)
    with located("benchmark.root"):
        return NasRobBench201(root), RobustnessDataset(root / _ROBUSTNESS_FOLDER)


def build_scorer(settings: RankSettings) -> Scorer:
    """What scores an architecture: proxies, sizes, and a stratified batch of the training split.

    Raises:
        DataError: the data are missing or unreadable.
        ConfigError: there are fewer images than asked for.
    """
    splits = splits_of(settings.data, settings.seed, test_limit=None)
    x, y = _batch(splits, settings)
    return Scorer(
        proxies=settings.proxy, x=x, y=y, classes=splits.train.classes, mean=splits.mean, std=splits.std,
        cells=settings.cells, channels=settings.channels, repeats=settings.repeats, seed=settings.seed,
    )  # fmt: skip


def _batch(splits: Splits, settings: RankSettings) -> tuple[Tensor, Tensor]:
    if settings.images > len(splits.train):
        raise ConfigError(
            f"Expected at most as many images as the training split has, {len(splits.train)}, got {settings.images}. "
            "(conf: images)"
        )
    chosen, _ = stratified(splits.train.labels, settings.images, generator(settings.seed, "ranking images"))
    return splits.train.batch(chosen)


def _stage(folder: RunFolder, name: str, work: Callable[[], None], resume_command: str) -> None:
    """Does one stage and notes in run.json how it went; a stage that is done isn't done again."""
    noted = folder.read_run()["stages"][name]
    if noted["state"] == "done":
        return
    began, before = time.monotonic(), float(noted.get("seconds", 0.0))

    def note(state: Any) -> None:
        folder.set_stage(name, state, before + time.monotonic() - began)

    note("running")
    try:
        work()
    except KeyboardInterrupt:
        note("interrupted")
        log.warning("Interrupted; what was done is in %s. To go on:\n  %s", folder.path, resume_command)
        raise
    except BaseException:
        note("failed")
        raise
    note("done")


def _score(folder: RunFolder, scorer: Scorer, indices: Sequence[int], settings: RankSettings) -> None:
    """Adds a line to ``scores.jsonl`` for every architecture that has none, in the order of ``indices``."""
    done = [record["index"] for record in folder.read_scores()]
    if done != list(indices[: len(done)]):
        raise CheckpointError(
            f"Expected the first architectures of this ranking in {folder.scores_jsonl}, got others. Restore the file, "
            "or remove it to start again."
        )
    left = indices[len(done) :]
    workers = min(os.cpu_count() or 1 if settings.workers == "auto" else settings.workers, max(1, len(left)))
    log.info("%d architectures, %d processes", len(left), workers)
    with Progress("score", len(indices), done=len(done), mode=settings.progress) as bar:
        for index, scores in zip(left, score_all(scorer, left, workers), strict=True):
            folder.append_scores({"index": index, "architecture": string_at(index), "scores": scores})
            bar.advance(1, dict(islice(scores.items(), _SHOWN)))


def _report(folder: RunFolder, columns: Sequence[Column], indices: Sequence[int], settings: RankSettings) -> None:
    records = folder.read_scores()
    names = list(settings.proxy)
    scores = [np.array([record["scores"][name] for record in records]) for name in names]
    found = rank_agreements(scores, [column.values for column in columns], settings.bootstrap, settings.seed)
    document = {
        "schema": SCHEMA,
        "version": VERSION,
        "dataset": settings.benchmark.dataset,
        "architectures": list(indices),
        "proxies": names,
        "columns": [asdict(column) | {"label": column.label, "values": column.values.tolist()} for column in columns],
        "spearman": [[_plain(entry) for entry in row] for row in found.spearman],
        "kendall": [[_plain(entry) for entry in row] for row in found.kendall],
    }
    write_json(folder.ranking_json, document)
    log.info("report: %s", write_ranking(folder.path))


def _plain(found: Coefficient) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {key: None if math.isnan(value) else value for key, value in asdict(found).items()}
