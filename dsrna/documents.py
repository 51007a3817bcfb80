"""What the JSON documents of a run folder hold, as far as somebody reads it: readers check a file against these."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from dsrna.evaluation_documents import ThreatModel


class StageNote(TypedDict):
    """How far a stage is."""

    state: str
    seconds: NotRequired[float]


class GitState(TypedDict):
    revision: str
    dirty: bool


class Run(TypedDict):
    """``run.json``."""

    kind: str
    fingerprint: str
    created: str
    git: GitState | None
    versions: dict[str, str]
    python: str
    platform: str
    device: str
    command: str
    stages: dict[str, StageNote]
    choices: NotRequired[dict[str, str]]


class CellEdges(TypedDict):
    edges: list[tuple[int, int]]


class CellOperations(TypedDict):
    operations: list[list[float]]
    edges: NotRequired[list[float] | None]


class GenotypeCell(TypedDict):
    nodes: list[list[tuple[str, int]]]
    concat: list[int]


class Genotype(TypedDict):
    """``genotype.json``."""

    space: str
    cells: dict[str, GenotypeCell]


class ArchitectureEpoch(TypedDict):
    epoch: int
    weights: dict[str, CellOperations]
    entropy: dict[str, float]
    genotype: Genotype
    operation_counts: dict[str, dict[str, int]]
    events: NotRequired[list[str]]


class Architecture(TypedDict):
    """``search/architecture.json``."""

    space: str
    primitives: list[str]
    choices: NotRequired[list[str]]
    cells: dict[str, CellEdges]
    epochs: list[ArchitectureEpoch]


class PathScore(TypedDict):
    loss: float
    accuracy: float
    objective_accuracy: float


class Comparison(TypedDict):
    count: int
    rank: int
    beaten: float
    interval: tuple[float, float]
    chance: float
    verdict: str


class RandomCells(TypedDict):
    """How the derived cell does among random ones, as paths of a supernet."""

    decides: str
    comparison_epochs: NotRequired[int]
    split: str
    images: int
    objective: str
    classes: NotRequired[int]
    mixture: NotRequired[PathScore]
    derived: PathScore
    random: list[PathScore]
    loss: Comparison
    accuracy: Comparison
    objective_accuracy: NotRequired[Comparison]


class ScoredCandidate(TypedDict):
    genotype: Genotype
    score: PathScore | None
    tuned: PathScore | None
    alone: NotRequired[PathScore | None]


class CandidateTrainedAlone(TypedDict):
    """A line of ``search/candidates.jsonl``."""

    genotype: Genotype
    score: PathScore


class ScoredDecision(TypedDict):
    cell_type: str
    place: str
    kept: list[str]
    score: PathScore
    without: dict[str, PathScore]


class Evidence(TypedDict):
    """``search/evidence.json``."""

    random_cells: RandomCells | None
    candidates: NotRequired[list[ScoredCandidate]]
    decisions: NotRequired[list[ScoredDecision]]
    left_out: str | None


class VerdictRow(TypedDict):
    label: str
    training: str
    accuracy: float
    rank: int
    classes: NotRequired[int]
    regret: float
    telling: NotRequired[bool]
    headline: bool


class Mark(TypedDict):
    name: str
    values: list[float | None]


class Pair(TypedDict):
    labels: list[str]
    marks: list[Mark]


class Verdict(TypedDict):
    """``verdict.json``."""

    pair: NotRequired[Pair]

    dataset: str
    searched_on: str
    rows: list[VerdictRow]


class MetricsRecord(TypedDict):
    """A line of ``metrics.jsonl``; its other entries are the numbers that were logged."""

    kind: NotRequired[str]
    stage: NotRequired[str]
    epoch: NotRequired[int]
    step: NotRequired[int]


class PublishedWeights(TypedDict):
    file: str
    sha256: str


class Published(TypedDict):
    """``config.json`` of a published network."""

    title: str
    stage: str
    numbers: dict[str, float]
    class_names: list[str]
    data: str | None
    threat: ThreatModel | None
    network: dict[str, Any]
    weights: PublishedWeights
