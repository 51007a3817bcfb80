"""Ranking: score random architectures, compare the ranks with the published tables, report."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice

import numpy as np
from torch import Tensor

from dsrna.benchmarks.columns import Column, accuracy_columns, check_asked_for
from dsrna.benchmarks.published import open_tables
from dsrna.benchmarks.rank_agreement import Coefficient, rank_agreements
from dsrna.benchmarks.sampling import random_architectures
from dsrna.config.parts import located
from dsrna.config.rank import benchmark_eps
from dsrna.config.request import Request
from dsrna.config.settings import RankSettings
from dsrna.data.splits import Splits, stratified
from dsrna.errors import CheckpointError, ConfigError
from dsrna.files import write_json
from dsrna.functional.seeding import generator
from dsrna.pipeline.first_line import first_line_of_proxies
from dsrna.pipeline.folders import at_work, check_data, create, do_stage, unfinished
from dsrna.pipeline.job import splits_of
from dsrna.pipeline.logs import logging_to
from dsrna.pipeline.scoring import Scorer, score_all
from dsrna.pipeline.tables_folder import tables_folder
from dsrna.progress import Progress
from dsrna.report.ranking_page import write_ranking
from dsrna.run_folder import RunFolder
from dsrna.spaces.nasbench201.index import string_at

log = logging.getLogger("dsrna")

SCHEMA = "dsrna.ranking"
VERSION = 1
_SHOWN = 3
"""Proxies whose scores stand beside the progress bar; more don't fit on a line."""


def rank(request: Request[RankSettings]) -> None:
    """Runs a ranking to its end, or continues it where it stopped.

    Raises:
        DsrnaError: with a message for the user; the run folder keeps what was done.
        Interrupted: by a signal; the scores so far are saved.
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
    if folder is not None:
        check_data(folder, scorer.data)
    folder = folder or create(request, ["score", "report"], "cpu", scorer.data)
    with at_work(folder, request):
        log.info("%s", first_line_of_proxies(request))
        do_stage(folder, "score", lambda: _score(folder, scorer, indices, settings))
        do_stage(folder, "report", lambda: _report(folder, columns, indices, settings))


def published_columns(settings: RankSettings, indices: Sequence[int]) -> list[Column]:
    """The columns asked for of both tables, for the given architectures.

    Raises:
        ConfigError: neither table has a data set, metric or eps that was asked for.
        DataError: a table is missing or damaged.
    """
    chosen, eps = settings.benchmark, benchmark_eps(settings)
    root, key = tables_folder(chosen.root, settings.data.root)
    with located(key):
        tables = open_tables(root)
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


def build_scorer(settings: RankSettings) -> Scorer:
    """What scores an architecture: proxies, sizes, and a stratified batch of the training split.

    Raises:
        DataError: the data are missing or unreadable.
        ConfigError: there are fewer images than asked for.
    """
    splits = splits_of(settings.data, settings.seed, test_limit=None)
    x, y = images_to_score(splits, settings.images, settings.seed)
    return Scorer(
        proxies=settings.proxy, x=x, y=y, classes=splits.train.classes, mean=splits.mean, std=splits.std,
        cells=settings.cells, channels=settings.channels, repeats=settings.repeats, seed=settings.seed,
    )  # fmt: skip


def images_to_score(splits: Splits, images: int, seed: int) -> tuple[Tensor, Tensor]:
    """A stratified batch of the training split.

    Raises:
        ConfigError: there are fewer images than asked for.
    """
    if images > len(splits.train):
        raise ConfigError(
            f"Expected at most as many images as the training split has, {len(splits.train)}, got {images}. "
            "(conf: images)"
        )
    chosen, _ = stratified(splits.train.labels, images, generator(seed, "ranking images"))
    return splits.train.batch(chosen)


def _score(folder: RunFolder, scorer: Scorer, indices: Sequence[int], settings: RankSettings) -> None:
    """Adds a line to ``scores.jsonl`` for every architecture that has none, in the order of ``indices``."""
    done = [record["index"] for record in folder.read_scores()]
    if done != list(indices[: len(done)]):
        raise CheckpointError(
            f"Expected the first architectures of this ranking in {folder.scores_jsonl}, got others. Bring the file "
            "back as it was, or move it away to start again."
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
