"""Searches by queries: every method with everything that guides, repeated; what they found is judged by the tables."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsrna.config.parts import build_part
from dsrna.console import echo
from dsrna.errors import CheckpointError, ConfigError
from dsrna.files import write_json
from dsrna.functional.seeding import derive_seed
from dsrna.progress import Progress
from dsrna.query_searches.base import Fitness, Genes, QuerySearch, run_queries
from dsrna.query_searches.encoding import gene_space, genotype_of
from dsrna.querying.columns import Column, Columns
from dsrna.querying.fitness import ColumnValues, ProxyValues, fitness_of
from dsrna.querying.record import Measure, front_of, grid_of, hypervolumes, improvements
from dsrna.querying.report import write_query
from dsrna.querying.result import best_genes, result_of
from dsrna.querying.settings import PROXY, QuerySettings, build_methods, guides_of
from dsrna.querying.summary import show_searches
from dsrna.ranking.run import images_to_score
from dsrna.ranking.scoring import Scorer, first_line
from dsrna.run_folder import RunFolder
from dsrna.runs.command import Program
from dsrna.runs.request import Request
from dsrna.runs.sources import splits_of
from dsrna.spaces import genotype_codec
from dsrna.spaces.search_space import SearchSpace

log = logging.getLogger("dsrna")

OBJECTIVES = "objectives"
"""Stands in records for what guides searches for several objectives."""

_QUERIES_A_STEP = 500


@dataclass(frozen=True)
class Plan:
    """Everything that is needed, opened and checked.

    Attributes:
        space: of the architectures.
        methods: name -> search.
        guides: what guides searches for one objective.
        objectives: what guides searches for several.
        columns: name -> column, of all that are asked for.
        values: columns by genes; None on a space without tables.
        scorers: proxy -> what computes it.
        settings: of the run.
        folder: of the run.
        first_lines: what the log begins with.
    """

    space: SearchSpace
    methods: dict[str, QuerySearch]
    guides: list[str]
    objectives: list[str]
    columns: dict[str, Column]
    values: ColumnValues | None
    scorers: dict[str, Scorer]
    settings: QuerySettings
    folder: RunFolder
    first_lines: list[str]

    @property
    def data(self) -> str | None:
        """Digest of the images that proxies see; they all see the same."""
        return next((scorer.data for scorer in self.scorers.values()), None)

    def searches(self, repeats: int) -> Iterator[tuple[str, str, int]]:
        """(method, what guides, repeat) of every search, in order."""
        for name, method in self.methods.items():
            for guide in [OBJECTIVES] if method.several_objectives else self.guides:
                for repeat in range(repeats):
                    yield name, guide, repeat


def prepare(request: Request[QuerySettings]) -> Plan:
    """Opens tables and data.

    Raises:
        ConfigError: a table has no such column, or none of its architectures has a value.
        DataError: a table or the data are missing or damaged.
    """
    settings = request.settings
    space: SearchSpace = build_part(settings.space, "space")
    tables = Columns(settings.benchmark, settings.data)
    columns = {
        name: tables.column(name, key)
        for key in ("guide", "judge", "objectives", "front")
        for name in getattr(settings, key)
        if not name.startswith(PROXY)
    }
    for key in ("judge", "front"):
        for name in getattr(settings, key):
            if np.isnan(columns[name].values).any():
                raise ConfigError(
                    f"{name} lacks {int(np.isnan(columns[name].values).sum())} of the architectures, so that it can "
                    f"guide but not judge. (conf: {key})"
                )
    return Plan(
        space=space,
        methods=build_methods(settings),
        guides=guides_of(settings),
        objectives=list(settings.objectives),
        columns=columns,
        values=ColumnValues() if columns else None,
        scorers=_scorers(settings, space),
        settings=settings,
        folder=RunFolder(request.folder),
        first_lines=[first_line(request)],
    )


def _scorers(settings: QuerySettings, space: SearchSpace) -> dict[str, Scorer]:
    """One a proxy, so that a search computes only what guides it."""
    if not settings.proxy:
        return {}
    splits = splits_of(settings.data, settings.seed, test_limit=None)
    x, y = images_to_score(splits, settings.images, settings.seed)
    return {
        name: Scorer(
            proxies={name: node}, x=x, y=y, classes=splits.train.classes, mean=splits.mean, std=splits.std,
            cells=settings.cells, channels=settings.channels, repeats=1, seed=settings.seed, space=space,
        )
        for name, node in settings.proxy.items()
    }  # fmt: skip


def search(plan: Plan) -> None:
    """Adds a line to ``searches.jsonl`` for every search that has none, in the plan's order."""
    settings, folder = plan.settings, plan.folder
    searches = list(plan.searches(settings.repeats))
    done = [(record["method"], record["guide"], record["repeat"]) for record in folder.read_searches()]
    if done != searches[: len(done)]:
        raise CheckpointError(
            f"Expected the first searches of this plan in {folder.searches_jsonl}, got others. Bring the file back "
            "as it was, or move it away to start again."
        )
    genes, grid, measure = gene_space(plan.space), grid_of(settings.budget), _measure(plan)
    total = len(searches) * settings.budget
    with Progress("search", total, done=len(done) * settings.budget, mode=settings.progress) as bar:
        meter = _Meter(bar)
        values = _values(plan, meter)
        for number, (method, guide, repeat) in enumerate(searches[len(done) :], start=len(done)):
            meter.begin(number * settings.budget, method=method, guide=guide, repeat=f"{repeat + 1}/{settings.repeats}")
            search, several = plan.methods[method], plan.methods[method].several_objectives
            fitness = fitness_of(plan.objectives if several else [guide], values)
            seed = derive_seed(settings.seed, "queries", method, guide, repeat)
            queries = run_queries(search, genes, meter.counting(fitness), settings.budget, seed)
            record: dict[str, Any] = {
                "method": method,
                "guide": guide,
                "repeat": repeat,
                "queries": len(queries),
                "different": len({each.genes for each in queries}),
            }
            if several:
                record["front"] = front_of(queries)
                record["hypervolume"] = None if measure is None else hypervolumes(queries, measure, grid)
            else:
                record["improvements"] = improvements(queries)
            folder.append_search(record)
        meter.begin(total)


def _values(plan: Plan, meter: _Meter) -> dict[str, Callable[[Genes], float]]:
    """Everything that can guide, by name."""
    found: dict[str, Callable[[Genes], float]] = {
        PROXY + name: ProxyValues(name, scorer, plan.folder, meter.show) for name, scorer in plan.scorers.items()
    }
    if plan.values is not None:
        guiding = {*plan.guides, *plan.objectives} & set(plan.columns)
        found |= {name: plan.values.by_genes(plan.columns[name]).__getitem__ for name in guiding}
    return found


def _measure(plan: Plan) -> Measure | None:
    """The front's columns, each scaled so that the worst architecture of the space has 0 and the best 1."""
    front = plan.settings.front
    if not front or plan.values is None:
        return None
    values, chosen = plan.values, [plan.columns[name] for name in front]
    low = np.array([column.values.min() for column in chosen])
    reach = np.array([np.ptp(column.values) for column in chosen])
    return lambda genes: (np.stack([values.of(column, genes) for column in chosen], axis=1) - low) / reach


def report(plan: Plan) -> None:
    """Judges what was found, and draws the page."""
    folder = plan.folder
    records = folder.read_searches()
    document = result_of(records, plan.columns, plan.values, _measure(plan), plan.space, plan.settings)
    write_json(folder.query_json, document)
    if plan.guides and (genes := best_genes(records, plan.guides[0])) is not None:
        genotype_codec.save(genotype_of(genes, plan.space), folder.genotype_json)
    page = write_query(folder.path)
    show_searches(document)
    log.info("report: %s", page)


class _Meter:
    """Moves the progress bar on, seldom where queries are fast, at every computed score where they are slow."""

    def __init__(self, bar: Progress) -> None:
        self._bar, self._done, self._shown = bar, 0, 0
        self._numbers: dict[str, Any] = {}
        self._scored = 0

    def begin(self, done: int, **numbers: float | str) -> None:
        """A search begins, before which there were ``done`` queries."""
        self._bar.advance(max(0, done - self._shown) if self._numbers else 0, self._numbers)
        self._done = self._shown = done
        self._numbers = dict(numbers)

    def counting(self, fitness: Callable[[Genes], Fitness]) -> Callable[[Genes], Fitness]:
        """The same fitness, with every call counted."""

        def counted(genes: Genes) -> Fitness:
            found = fitness(genes)
            self._done += 1
            if found[0] > self._numbers.get("best", -math.inf):
                self._numbers["best"] = found[0]
            if self._done - self._shown >= _QUERIES_A_STEP:
                self._advance()
            return found

        return counted

    def show(self) -> None:
        """A score was computed."""
        self._scored += 1
        self._numbers["scored"] = str(self._scored)
        self._advance()

    def _advance(self) -> None:
        self._bar.advance(self._done - self._shown, self._numbers)
        self._shown = self._done


QUERY: Program[QuerySettings, Plan] = Program(
    prepare=prepare,
    stages=lambda settings: {"search": search, "report": report},
    product=lambda folder: folder.report_html,
    finish_sweep=lambda folder: echo(f"searches: {folder}"),
)
