"""What the JSON documents of rankings and searches by queries hold, as far as somebody reads it; see documents.py."""

from __future__ import annotations

from typing import TypedDict


class Scores(TypedDict):
    """A line of ``scores.jsonl``."""

    scores: dict[str, float | None]


class Search(TypedDict):
    """A line of ``searches.jsonl``."""

    method: str
    guide: str
    repeat: int


class RankedColumn(TypedDict):
    benchmark: str
    training: str
    label: str
    values: list[float]


class Coefficient(TypedDict):
    value: float | None
    low: float | None
    high: float | None


class Ranking(TypedDict):
    """``ranking.json``."""

    dataset: str
    architectures: list[int]
    proxies: list[str]
    columns: list[RankedColumn]
    spearman: list[list[Coefficient]]
    kendall: list[list[Coefficient]]


class Spread(TypedDict):
    mean: float
    std: float


class SpreadCurve(TypedDict):
    mean: list[float]
    std: list[float]


class NamedColumn(TypedDict):
    name: str
    kind: str


class Judge(NamedColumn):
    best: float


class SingleSearch(TypedDict):
    method: str
    guide: str
    guided: SpreadCurve | None
    judged: dict[str, Spread | None]
    curve: SpreadCurve | None


class SeveralSearch(TypedDict):
    method: str
    objectives: list[str]
    size: Spread
    hypervolume: SpreadCurve | None
    measured: list[list[float]] | None


class TrueFront(TypedDict):
    columns: list[NamedColumn]
    points: list[list[float]]
    hypervolume: float


class Query(TypedDict):
    """``query.json``."""

    grid: list[int]
    judges: list[Judge]
    searches: list[SingleSearch]
    fronts: list[SeveralSearch]
    front: TrueFront | None
