"""The result of searches by queries: finished searches, judged, and their means over repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dsrna.benchmarks import published_searches
from dsrna.query_searches.base import Genes
from dsrna.query_searches.encoding import genotype_of
from dsrna.query_searches.pareto import hypervolume, pareto_front
from dsrna.querying.columns import Column
from dsrna.querying.fitness import ColumnValues, genes_text
from dsrna.querying.record import Measure, grid_of
from dsrna.querying.settings import QuerySettings
from dsrna.spaces.nasbench201.index import COUNT, string_at
from dsrna.spaces.search_space import SearchSpace

SCHEMA = "dsrna.query"
VERSION = 1

Records = Sequence[dict[str, Any]]


def result_of(
    records: Records,
    columns: Mapping[str, Column],
    values: ColumnValues | None,
    measure: Measure | None,
    space: SearchSpace,
    settings: QuerySettings,
) -> dict[str, Any]:
    """What ``query.json`` holds.

    Args:
        records: all searches.
        columns: name -> column.
        values: columns by genes; None on a space without tables.
        measure: what hypervolumes are measured in; None for none.
        space: of the architectures.
        settings: of the run.
    """
    grid = grid_of(settings.budget)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["method"], record["guide"]), []).append(record)
    single = {key: group for key, group in groups.items() if "improvements" in group[0]}
    several = {key: group for key, group in groups.items() if "front" in group[0]}
    judges = [columns[name] for name in settings.judge]
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "space": space.name,
        "dataset": settings.benchmark.dataset,
        "budget": settings.budget,
        "repeats": settings.repeats,
        "grid": grid,
        "judges": [{"name": column.name, "kind": column.kind, "best": float(column.values.max())} for column in judges],
        "guides": {name: _coverage(columns[name]) for name in settings.guide},
        "searches": [_single(key, group, judges, values, grid, space) for key, group in single.items()],
        "fronts": [_several(key, group, values, columns, settings) for key, group in several.items()],
        "front": _true_front(columns, measure, settings.front) if several else None,
        "published": _published(settings),
    }


def best_genes(records: Records, guide: str) -> Genes | None:
    """The best architecture of all searches that one thing guided; of equals, the one found first; None for none."""
    last = [record["improvements"][-1] for record in records if record["guide"] == guide and "improvements" in record]
    scored = [entry for entry in last if entry["fitness"] is not None]
    return tuple(max(scored, key=lambda entry: entry["fitness"])["genes"]) if scored else None


def spread(values: np.ndarray) -> dict[str, Any]:
    """Mean and standard deviation over the first axis (0 for a single repeat), as plain numbers."""
    deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros_like(values[0])
    return {"mean": values.mean(axis=0).tolist(), "std": np.asarray(deviation).tolist()}


def _single(
    key: tuple[str, str],
    group: Records,
    judges: Sequence[Column],
    values: ColumnValues | None,
    grid: Sequence[int],
    space: SearchSpace,
) -> dict[str, Any]:
    ends = [tuple(record["improvements"][-1]["genes"]) for record in group]
    result: dict[str, Any] = {
        "method": key[0],
        "guide": key[1],
        "queries": spread(np.array([float(record["queries"]) for record in group])),
        "different": spread(np.array([float(record["different"]) for record in group])),
        "guided": _guided(group, grid),
        "found": [_architecture(genes, space, values) for genes in ends],
        "judged": {},
        "curve": None,
    }
    if values is not None:
        for column in judges:
            result["judged"][column.name] = spread(values.of(column, ends))
        if judges:
            result["curve"] = spread(np.stack([_judged_curve(record, judges[0], values, grid) for record in group]))
    return result


def _judged_curve(record: dict[str, Any], judge: Column, values: ColumnValues, grid: Sequence[int]) -> np.ndarray:
    """(grid,) what the judge says of the best so far by what guides."""
    genes = [tuple(entry["genes"]) for entry in record["improvements"]]
    return values.of(judge, genes)[_last_before(record, grid)]


def _guided(group: Records, grid: Sequence[int]) -> dict[str, Any] | None:
    """The best so far by what guides itself; None where nothing had a value at first."""
    curves = []
    for record in group:
        told = [entry["fitness"] for entry in record["improvements"]]
        if None in told:
            return None
        curves.append(np.array(told)[_last_before(record, grid)])
    return spread(np.stack(curves))


def _last_before(record: dict[str, Any], grid: Sequence[int]) -> np.ndarray:
    """The position of the last improvement at each number of queries."""
    return np.searchsorted([entry["query"] for entry in record["improvements"]], grid, side="right") - 1


def _several(
    key: tuple[str, str],
    group: Records,
    values: ColumnValues | None,
    columns: Mapping[str, Column],
    settings: QuerySettings,
) -> dict[str, Any]:
    first = group[0]["front"]
    genes = [tuple(entry["genes"]) for entry in first]
    volumes = [record["hypervolume"] for record in group]
    measured = values is not None and settings.front
    return {
        "method": key[0],
        "objectives": settings.objectives,
        "different": spread(np.array([float(record["different"]) for record in group])),
        "size": spread(np.array([float(len(record["front"])) for record in group])),
        "hypervolume": None if None in volumes else spread(np.array(volumes)),
        "points": [entry["fitness"] for entry in first],
        "measured": [values.of(columns[name], genes).tolist() for name in settings.front] if measured else None,  # type: ignore[union-attr]
        "genes": [genes_text(each) for each in genes],
    }


def _true_front(columns: Mapping[str, Column], measure: Measure | None, front: Sequence[str]) -> dict[str, Any] | None:
    """The front of all architectures, and its hypervolume in the same scale as the searches'."""
    if measure is None:
        return None
    every = np.stack([columns[name].values for name in front], axis=1)
    points = pareto_front(every)
    low, reach = every.min(axis=0), np.ptp(every, axis=0)
    return {
        "columns": [{"name": name, "kind": columns[name].kind} for name in front],
        "points": points.T.tolist(),
        "hypervolume": hypervolume((points - low) / reach, np.zeros(len(front))),
    }


def _architecture(genes: Genes, space: SearchSpace, values: ColumnValues | None) -> str:
    if values is not None:
        return string_at(values.index(genes))
    cells = genotype_of(genes, space).cells
    return "; ".join(f"{name}: {cell.nodes}" for name, cell in cells.items())


def _coverage(column: Column) -> dict[str, int]:
    return {"architectures": COUNT, "own": column.own, "without": int(np.isnan(column.values).sum())}


def _published(settings: QuerySettings) -> dict[str, Any] | None:
    """Published results of the same searches, where there are any."""
    found = {guide: published_searches.FOUND[guide] for guide in settings.guide if guide in published_searches.FOUND}
    wanted = [name for name in settings.judge if name in published_searches.JUDGES]
    here = settings.benchmark.dataset == published_searches.DATASET and published_searches.METHOD in settings.method
    if not (found and wanted and here):
        return None
    places = [published_searches.JUDGES.index(name) for name in wanted]
    return {
        "method": published_searches.METHOD,
        "source": published_searches.SOURCE,
        "judges": wanted,
        "found": {guide: [numbers[place] for place in places] for guide, numbers in found.items()},
    }
