"""Ranking: score random architectures, compare the ranks with the published tables, report."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np
from torch import Tensor

from dsrna.benchmarks.columns import Column, accuracy_columns, check_asked_for
from dsrna.benchmarks.published import open_tables
from dsrna.benchmarks.rank_agreement import Coefficient, rank_agreements
from dsrna.benchmarks.sampling import random_architectures
from dsrna.config.parts import located
from dsrna.console import echo
from dsrna.data.splits import Splits, stratified
from dsrna.errors import CheckpointError, ConfigError
from dsrna.files import write_json
from dsrna.functional.seeding import generator
from dsrna.progress import Progress
from dsrna.ranking.report import write_ranking
from dsrna.ranking.scoring import Scorer, first_line, score_all
from dsrna.ranking.settings import RankSettings, benchmark_eps
from dsrna.run_folder import RunFolder
from dsrna.runs.command import Program
from dsrna.runs.request import Request
from dsrna.runs.sources import splits_of, tables_folder
from dsrna.spaces.nasbench201.index import string_at

log = logging.getLogger("dsrna")

SCHEMA = "dsrna.ranking"
VERSION = 1
_SHOWN = 3
"""Proxies whose scores stand beside the progress bar; more don't fit on a line."""


@dataclass(frozen=True)
class Ranking:
    """A ranking whose tables and data are opened.

    Attributes:
        settings: of the run.
        folder: of the run.
        first_lines: what the log begins with.
        indices: published indices of the architectures.
        columns: what the tables say of them.
        scorer: what computes their scores.
    """

    settings: RankSettings
    folder: RunFolder
    first_lines: list[str]
    indices: Sequence[int]
    columns: Sequence[Column]
    scorer: Scorer

    @property
    def data(self) -> str:
        """Digest of the images that are scored."""
        return self.scorer.data


def prepare(request: Request[RankSettings]) -> Ranking:
    """Opens tables and data."""
    settings = request.settings
    indices = random_architectures(settings.n, generator(settings.seed, "architectures"))
    columns = published_columns(settings, indices)
    scorer = build_scorer(settings)
    return Ranking(settings, RunFolder(request.folder), [first_line(request)], indices, columns, scorer)


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


def score(ranking: Ranking) -> None:
    """Adds a line to ``scores.jsonl`` for every architecture that has none, in their order."""
    settings, folder, indices = ranking.settings, ranking.folder, ranking.indices
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
        for index, scores in zip(left, score_all(ranking.scorer, left, workers), strict=True):
            folder.append_scores({"index": index, "architecture": string_at(index), "scores": scores})
            bar.advance(1, dict(islice(scores.items(), _SHOWN)))


def report(ranking: Ranking) -> None:
    """Compares the ranks, and draws the page."""
    settings, folder, columns = ranking.settings, ranking.folder, ranking.columns
    records = folder.read_scores()
    names = list(settings.proxy)
    scores = [np.array([record["scores"][name] for record in records]) for name in names]
    found = rank_agreements(scores, [column.values for column in columns], settings.bootstrap, settings.seed)
    document = {
        "schema": SCHEMA,
        "version": VERSION,
        "dataset": settings.benchmark.dataset,
        "architectures": list(ranking.indices),
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


RANK: Program[RankSettings, Ranking] = Program(
    prepare=prepare,
    stages=lambda settings: {"score": score, "report": report},
    product=lambda folder: folder.report_html,
    finish_sweep=lambda folder: echo(f"rankings: {folder}"),
)
