"""What an ``evaluation.json`` holds, as far as somebody reads it: readers check a file against this."""

from __future__ import annotations

from typing import NotRequired, TypedDict


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


class Spatial(TypedDict):
    """Accuracy at the worst of a grid of rotations and shifts."""

    rotation: float
    translation: float
    rotations: int
    translations: int
    version: str
    accuracy: float
    images: int


class EvaluatedNetwork(TypedDict):
    title: str
    checkpoint: str
    parameters: int
    result: Result
    corruptions: NotRequired[Corruptions | None]
    verification: NotRequired[Verification | None]
    smoothing: NotRequired[Smoothing | None]
    spatial: NotRequired[Spatial | None]


class Evaluation(TypedDict):
    """``evaluation.json``."""

    threat: ThreatModel
    data: str
    split: str
    networks: dict[str, EvaluatedNetwork]
