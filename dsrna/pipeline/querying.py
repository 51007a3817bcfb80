"""Searches by queries: every method with everything that guides, repeated; what they found is judged by the tables."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsrna.config.parts import build_part
from dsrna.config.query import PROXY, build_methods, guides_of
from dsrna.config.request import Request
from dsrna.config.settings import QuerySettings
from dsrna.errors import CheckpointError, ConfigError
from dsrna.files import write_json
from dsrna.functional.seeding import derive_seed
from dsrna.pipeline.first_line import first_line_of_proxies
from dsrna.pipeline.folders import at_work, check_data, create, do_stage, unfinished
from dsrna.pipeline.job import splits_of
from dsrna.pipeline.logs import logging_to
from dsrna.pipeline.query_columns import Column, Columns
from dsrna.pipeline.query_fitness import ColumnValues, ProxyValues, fitness_of
from dsrna.pipeline.query_record import Measure, front_of, grid_of, hypervolumes, improvements
from dsrna.pipeline.query_result import best_genes, result_of
from dsrna.pipeline.query_summary import show_searches
from dsrna.pipeline.ranking import images_to_score
from dsrna.pipeline.scoring import Scorer
from dsrna.progress import Progress
from dsrna.query_searches.base import Fitness, Genes, QuerySearch, run_queries
from dsrna.query_searches.encoding import gene_space, genotype_of
from dsrna.report.query_page import write_query
from dsrna.run_folder import RunFolder
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
    """

    space: SearchSpace
    methods: dict[str, QuerySearch]
    guides: list[str]
    objectives: list[str]
    columns: dict[str, Column]
    values: ColumnValues | None
    scorers: dict[str, Scorer]

    def searches(self, repeats: int) -> Iterator[tuple[str, str, int]]:
        """(method, what guides, repeat) of every search, in order."""
        for name, method in self.methods.items():
            for guide in [OBJECTIVES] if method.several_objectives else self.guides:
                for repeat in range(repeats):
                    yield name, guide, repeat


def query(request: Request[QuerySettings]) -> None:
    """Runs all searches to their end, or continues them where they stopped.

    Raises:
        DsrnaError: with a message for the user; the run folder keeps what was done.
        Interrupted: by a signal; finished searches and scores so far are saved.
    """
    settings = request.settings
    folder = unfinished(request)
    if folder is not None and folder.is_complete:
        with logging_to(folder.run_log):
            log.info("finished already: %s", folder.report_html)
        return
    plan = planned(settings)  # nothing is written before tables and data are known to be usable
    data = next((scorer.data for scorer in plan.scorers.values()), None)  # all score the same images
    if folder is not None and data is not None:
        check_data(folder, data)
    folder = folder or create(request, ["search", "report"], "cpu", data)
    with at_work(folder, request):
        log.info("%s", first_line_of_proxies(request))
        do_stage(folder, "search", lambda: _search(folder, plan, settings))
        do_stage(folder, "report", lambda: _report(folder, plan, settings))


def planned(settings: QuerySettings) -> Plan:
    """Opens tables and data.

    Raises:
        ConfigError: a table has no such column, or none of its architectures has a value.
        DataError: a table or the data are missing or damaged.
    """
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


def _search(folder: RunFolder, plan: Plan, settings: QuerySettings) -> None:
    """Adds a line to ``searches.jsonl`` for every search that has none, in the plan's order."""
    searches = list(plan.searches(settings.repeats))
    done = [(record["method"], record["guide"], record["repeat"]) for record in folder.read_searches()]
    if done != searches[: len(done)]:
        raise CheckpointError(
            f"Expected the first searches of this plan in {folder.searches_jsonl}, got others. Bring the file back "
            "as it was, or move it away to start again."
        )
    genes, grid, measure = gene_space(plan.space), grid_of(settings.budget), _measure(plan, settings.front)
    total = len(searches) * settings.budget
    with Progress("search", total, done=len(done) * settings.budget, mode=settings.progress) as bar:
        meter = _Meter(bar)
        values = _values(plan, folder, meter)
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


def _values(plan: Plan, folder: RunFolder, meter: _Meter) -> dict[str, Callable[[Genes], float]]:
    """Everything that can guide, by name."""
    found: dict[str, Callable[[Genes], float]] = {
        PROXY + name: ProxyValues(name, scorer, folder, meter.show) for name, scorer in plan.scorers.items()
    }
    if plan.values is not None:
        guiding = {*plan.guides, *plan.objectives} & set(plan.columns)
        found |= {name: plan.values.by_genes(plan.columns[name]).__getitem__ for name in guiding}
    return found


def _measure(plan: Plan, front: Sequence[str]) -> Measure | None:
    """The front's columns, each scaled so that the worst architecture of the space has 0 and the best 1."""
    if not front or plan.values is None:
        return None
    values, chosen = plan.values, [plan.columns[name] for name in front]
    low = np.array([column.values.min() for column in chosen])
    reach = np.array([np.ptp(column.values) for column in chosen])
    return lambda genes: (np.stack([values.of(column, genes) for column in chosen], axis=1) - low) / reach


def _report(folder: RunFolder, plan: Plan, settings: QuerySettings) -> None:
    records = folder.read_searches()
    document = result_of(records, plan.columns, plan.values, _measure(plan, settings.front), plan.space, settings)
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
