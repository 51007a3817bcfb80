"""What the JSON documents of a run folder hold, as far as somebody reads it: readers check a file against these."""

from __future__ import annotations

from typing import NotRequired, TypedDict


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


class ThreatModel(TypedDict):
    norm: str
    eps: float


class Repeats(TypedDict):
    """An attack measured several times, each time with other random numbers."""

    accuracies: list[float]
    mean: float
    interval: tuple[float, float]


class AttackRecord(TypedDict):
    """One attack on one network."""

    attack: str
    label: str
    norm: str
    eps: float
    accuracy: float
    interval: tuple[float, float]
    images: int
    engine: str
    version: str
    seed: int
    restarts: int | None
    steps: int | None
    step_size: float | None
    repeats: NotRequired[Repeats]
    attacks: NotRequired[list[str]]  # of the worst case: what it is over


class MaskingCheck(TypedDict):
    check: str
    state: str
    message: str


class MaskingWarning(TypedDict):
    check: str
    message: str


class Attacked(TypedDict):
    clean: AttackRecord
    records: list[AttackRecord]
    further: NotRequired[list[AttackRecord]]  # of threat models beside the run's
    curve: NotRequired[list[AttackRecord]]
    grid: NotRequired[list[AttackRecord]]


class Surface(TypedDict):
    """Margins on planes through some images."""

    norm: str
    eps: float
    steps: list[float]
    margins: list[list[list[float]]]


class CheckedResult(Attacked):
    checks: list[MaskingCheck]
    guessing: float
    surface: NotRequired[Surface | None]


class WarnedResult(Attacked):
    """Of a dsrna that noted failed checks alone."""

    warnings: list[MaskingWarning]
    classes: int


Result = CheckedResult | WarnedResult


class CorruptionRecord(TypedDict):
    corruption: str
    severity: int
    version: str
    accuracy: float


class CorruptionError(TypedDict):
    """The mean corruption error."""

    value: float
    normaliser: str | None


class Corruptions(TypedDict):
    source: str
    mean: float | None
    by_severity: dict[str, float | None]
    mce: NotRequired[CorruptionError | None]
    records: list[CorruptionRecord]


class CertifiedPoint(TypedDict):
    eps: float
    certified: float
    certified_interval: tuple[float, float]
    standing: float
    standing_interval: tuple[float, float]
    images: int


class Radius(TypedDict):
    images: int
    mean: float | None
    median: float | None
    attacked_images: int
    attacked_mean: float | None
    attacked_median: float | None


class VerifyingAttack(TypedDict):
    label: str


class Verification(TypedDict):
    norm: str
    images: int
    correct: int
    attack: VerifyingAttack
    engines: list[str]
    curve: list[CertifiedPoint]
    radius: Radius | None
    proved_by: dict[str, int]
    stopped: dict[str, int]


class SmoothedPoint(TypedDict):
    eps: float
    certified: float
    certified_interval: tuple[float, float]
    images: int


class Smoothing(TypedDict):
    sigma: float
    samples: int
    failure: float
    version: str
    images: int
    correct: float
    abstained: float
    curve: list[SmoothedPoint]
    radius: float


class EvaluatedNetwork(TypedDict):
    title: str
    checkpoint: str
    parameters: int
    result: Result
    corruptions: NotRequired[Corruptions | None]
    verification: NotRequired[Verification | None]
    smoothing: NotRequired[Smoothing | None]


class Evaluation(TypedDict):
    """``evaluation.json``."""

    threat: ThreatModel
    data: str
    split: str
    networks: dict[str, EvaluatedNetwork]


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
