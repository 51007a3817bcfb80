"""The typed settings that stages receive: plain dataclasses, no DictConfig.

Parts (space, strategy, metric, …) are nodes with a ``_target_``; they stay dictionaries here and become objects in
:func:`dsrna.config.parts.build_part`. Everything else is typed, so that a wrong key or type is found at compose time.
Values and their comments live in ``conf/``: that is the one place where defaults stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Part = dict[str, Any]

STAGES = ("search", "retrain", "evaluate", "report")


@dataclass
class AugmentationSettings:
    crop_padding: int
    horizontal_flip: bool


@dataclass
class DataSettings:
    source: Any
    root: str | None
    download: bool
    validation_fraction: float
    train_limit: int | None
    test_limit: int | None
    augmentation: AugmentationSettings
    pixels: int | None = None  # files of a user's data set need not name it


@dataclass
class ThreatSettings:
    norm: str
    eps: Any  # a number, or a fraction such as 8/255


@dataclass
class SearchSettings:
    epochs: int
    batch_size: int
    cells: int
    channels: int
    warmup_epochs: int
    weights_fraction: float
    gradient_clip: float
    implementation: str
    random_cells: int
    comparison_epochs: int
    weights_objective: Any
    architecture_objective: Any
    selection_objective: Any
    ranking_objective: Any
    weights_optimizer: Any
    weights_schedule: Any
    alphas_optimizer: Any


@dataclass
class RetrainSettings:
    epochs: int
    batch_size: int
    cells: int
    channels: int
    stem: str
    auxiliary: bool
    drop_path: float
    cutout: int
    ema_decay: float
    gradient_clip: float
    optimizer: Any
    schedule: Any
    selection_steps: int
    torch_compile: bool
    keep: str
    baseline: bool
    certified: bool


@dataclass
class CertifiedSettings:
    """Certified training of the retrained network; all else is as for its adversarial training, without drop-path."""

    objective: Any
    epochs: int
    batch_size: int
    gradient_clip: float
    optimizer: Any
    schedule: Any


@dataclass
class EvaluateSettings:
    attacks: dict[str, Any]
    eps_curve: Any  # "auto", or a list of numbers and fractions
    grid: dict[str, Any]  # name -> the attack's part and the list of its radii
    batch_size: int
    torch_compile: bool
    verify: Any  # a part, or null for no verification
    corruptions: Any  # a part, or null for none


@dataclass
class LimitSettings:
    """Upper limits that ``trainer=debug`` sets; they win over every experiment. Any of them makes a run a rehearsal."""

    epochs: int | None
    batches: int | None
    batch_size: int | None
    test_images: int | None
    attacks: list[str] | None
    cells: int | None
    channels: int | None

    @property
    def any(self) -> bool:
        """Whether there is a limit."""
        return any(limit is not None for limit in vars(self).values())


@dataclass
class TrainerSettings:
    accelerator: str
    precision: str
    deterministic: bool
    threads: Any  # "auto", or a number
    progress: str
    checkpoint_minutes: float
    limits: LimitSettings


@dataclass
class RunSettings:
    """What every run has: where it goes and what its random numbers depend on."""

    name: str
    seed: int
    resume: str
    out: str


@dataclass
class Settings(RunSettings):
    """All settings of one run, resolved. ``start_from`` is the key ``from`` of the config."""

    stages: list[str]
    start_from: str | None
    sweep_objective: Any  # a name that is known to config/sweep_objective.py, auto, or null
    data: DataSettings
    space: Any
    strategy: Any
    regulariser: Any  # name -> part
    search_schedule: Any  # name -> part
    selection: Any
    metric: Any
    metric_join: Any
    hypergradient: Any
    threat: ThreatSettings
    objective: Any
    search: SearchSettings
    retrain: RetrainSettings
    certified: CertifiedSettings
    evaluate: EvaluateSettings
    logger: Any
    trainer: TrainerSettings


@dataclass
class TableSettings:
    root: str | None
    dataset: str


@dataclass
class BenchmarkSettings(TableSettings):
    metrics: list[str] | None
    eps: Any  # a list of numbers and fractions, or null


@dataclass
class RankSettings(RunSettings):
    """All settings of one ranking, resolved."""

    data: DataSettings
    threat: ThreatSettings  # of proxies that attack
    space: Any
    proxy: Any
    n: int
    images: int
    repeats: int
    cells: int
    channels: int
    benchmark: BenchmarkSettings
    bootstrap: int
    workers: Any  # "auto", or a number
    progress: str


@dataclass
class BenchmarkTrainingSettings(Settings):
    """All settings of making a table, resolved; those of every network, and which networks."""

    arch: Any  # an architecture string, an index, or a list of them; null for n random ones
    n: int | None
    seeds: list[int]
    layout: str


@dataclass
class QuerySettings(RunSettings):
    """All settings of searches by queries, resolved. Lists of columns are null where the space decides."""

    data: DataSettings
    threat: ThreatSettings  # of proxies that attack
    space: Any
    method: Any
    proxy: Any
    guide: Any
    judge: Any
    objectives: Any
    front: Any
    budget: int
    repeats: int
    images: int
    cells: int
    channels: int
    benchmark: TableSettings
    progress: str
