"""The typed settings that stages receive: what keys there are, of which types and in which ranges.

Parts (space, strategy, metric, …) are nodes with a ``_target_``; they stay dictionaries here, tried by
:mod:`dsrna.config.kinds`, and become objects in :func:`dsrna.config.parts.build_part`. Values and their comments live
in ``conf/``: that is the one place where defaults stand. Radii stay as they were written, ``8/255`` too: the
fingerprints of older runs are of that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from dsrna.config import kinds
from dsrna.config.external import ExternalSettings
from dsrna.config.model import Model, distinct, refused, tries_parts
from dsrna.config.parts import build_part, nearest, with_fractions
from dsrna.config.threat_settings import BallSettings, ThreatSettings
from dsrna.config.value_types import (
    LARGEST,
    BatchSize,
    Cells,
    Channels,
    Count,
    Few,
    Flag,
    Limit,
    NotNegative,
    Progress,
    Rate,
    Seed,
    Share,
    Whole,
)
from dsrna.errors import ConfigError, DsrnaError

STAGES = ("search", "retrain", "evaluate", "report")


class AugmentationSettings(Model):
    crop_padding: Whole
    horizontal_flip: Flag


class DataSettings(Model):
    source: kinds.SourcePart
    root: str | None
    download: Flag
    validation_fraction: Share
    train_limit: Limit
    test_limit: Limit
    augmentation: AugmentationSettings
    pixels: Annotated[
        int | None,
        Field(ge=1, le=LARGEST, description="a whole number, at least 1, or null for the images as they are"),
    ] = None  # files of a user's data set need not name it


class MetricSettings(Model):
    """What all metrics share. In a config the part's own keys stand beside that, here in ``part``."""

    model_config = ConfigDict(extra="allow")

    weight: Annotated[
        int | float, Field(ge=0, description="a weight of 0 or more (R is a score, higher is more robust)")
    ]
    warmup_epochs: Annotated[int, Field(ge=0, le=1_000_000, description="a whole number, 0 or more")]
    weight_schedule: Literal["constant", "linear"]

    @property
    def part(self) -> kinds.Part:
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _read_fractions(cls, node: Any) -> Any:
        return with_fractions(node)

    @model_validator(mode="after")
    def _try(self) -> MetricSettings:
        if not tries_parts():
            return self
        try:
            build_part(self.part, "", kind="dsrna.metrics.base.RobustnessMetric")
        except DsrnaError as error:
            raise refused(error) from error
        return self


class SearchSettings(Model):
    epochs: Count
    batch_size: BatchSize
    cells: Cells
    channels: Channels
    warmup_epochs: Whole
    weights_fraction: Share
    gradient_clip: NotNegative
    implementation: Literal["auto", "compiled", "batched", "reference", "textbook"]  # the last: earlier runs' name
    random_cells: Few
    comparison_epochs: Few
    weights_objective: kinds.SearchObjectivePart
    architecture_objective: kinds.SearchObjectivePart
    selection_objective: kinds.SearchObjectivePart | None
    ranking_objective: kinds.SearchObjectivePart | None
    weights_optimizer: kinds.OptimizerPart
    weights_schedule: Annotated[kinds.Part, kinds.schedule_of("weights_optimizer")] | None
    alphas_optimizer: kinds.AlphasOptimizerPart


class RetrainSettings(Model):
    epochs: Count
    batch_size: BatchSize
    cells: Cells
    channels: Channels
    stem: str
    auxiliary: Flag
    drop_path: Rate
    cutout: Whole
    ema_decay: Rate
    noise: NotNegative
    gradient_clip: NotNegative
    optimizer: kinds.OptimizerPart
    schedule: Annotated[kinds.Part, kinds.schedule_of("optimizer")] | None
    selection_steps: Count
    torch_compile: Flag
    keep: Literal["best", "last"]
    baseline: Flag
    certified: Flag


class CertifiedSettings(Model):
    """Certified training of the retrained network; all else is as for its adversarial training, without drop-path."""

    objective: kinds.CertifiedPart
    epochs: Count
    batch_size: BatchSize
    gradient_clip: NotNegative
    optimizer: kinds.OptimizerPart
    schedule: Annotated[kinds.Part, kinds.schedule_of("optimizer")] | None


class GridSettings(Model):
    """Balls of the threat's norm, and what attacks in them."""

    eps: Annotated[list[Any], AfterValidator(with_fractions), Field(description="a list of radii")]
    attack: kinds.AttackPart


class EvaluateSettings(Model):
    attacks: dict[str, kinds.AttackPart | None]
    threats: Annotated[list[BallSettings], Field(description="a list, as in [{norm: l2, eps: 0.5}]")]
    save_examples: Flag
    eps_curve: Any  # "auto", or a list of numbers and fractions
    grid: dict[str, GridSettings | None]
    batch_size: BatchSize
    torch_compile: Flag
    verify: Any  # a part, or null for no verification
    smoothing: kinds.SmoothingPart | None
    corruptions: kinds.CorruptionsPart | None
    spatial: kinds.SpatialPart | None


class LimitSettings(Model):
    """Upper limits that ``trainer=debug`` sets; they win over every experiment. Any of them makes a run a rehearsal."""

    epochs: Limit
    batches: Limit
    batch_size: Limit
    test_images: Limit
    attacks: Annotated[list[str] | None, Field(description="a list of names, or null for all")]
    cells: Limit
    channels: Limit

    @property
    def any(self) -> bool:
        """Whether there is a limit."""
        return any(limit is not None for _, limit in self)


class TrainerSettings(Model):
    accelerator: str
    devices: Annotated[int, Field(ge=1, le=1024, description="a number of processes on this machine, 1 to 1,024")]
    sync_batchnorm: Flag
    precision: Annotated[
        Literal["32-true", "64-true", "bf16-mixed"],
        Field(
            description="32-true, 64-true or bf16-mixed (fp16 needs loss scaling, which the architecture step's own "
            "gradients would not get)"
        ),
    ]
    deterministic: Flag
    threads: Annotated[
        Literal["auto"] | Annotated[int, Field(ge=1, le=1024)],
        Field(description="`auto` or a number of CPU threads, 1 to 1,024"),
    ]
    progress: Progress
    checkpoint_minutes: NotNegative
    limits: LimitSettings


class RunSettings(Model):
    """What every run has: where it goes and what its random numbers depend on."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[\w.-]*\w[\w.-]*$",
            description="a name of letters, digits, dots, dashes and underscores: a folder's name has it",
        ),
    ]
    seed: Seed
    resume: Literal["never", "auto"]
    out: Annotated[str, Field(min_length=1, description="a folder")]


def _check_stages(stages: list[str]) -> list[str]:
    for stage in stages:
        if stage not in STAGES:
            close = nearest(stage, STAGES)
            raise refused(ConfigError(f"Unknown stage `{stage}`.{close} Choose from: {', '.join(STAGES)}."))
    return distinct(stages)


_STAGES = f"a list of stages, each once: stages=[{','.join(STAGES)}] or some of them"


class Settings(RunSettings, ExternalSettings):
    """All settings of one run, resolved. ``start_from`` is the key ``from`` of the config."""

    stages: Annotated[list[str], Field(min_length=1, description=_STAGES), AfterValidator(_check_stages)]
    start_from: Annotated[
        str | None,
        BeforeValidator(lambda value: str(value) if type(value) is int else value),  # from=13433: an index
        Field(alias="from", description="the name of a file, a folder or a genotype, or null"),
    ]
    sweep_objective: Any  # a name that is known to config/sweep_objective.py, auto, or null
    data: DataSettings
    space: kinds.SpacePart
    strategy: kinds.StrategyPart
    regulariser: Annotated[
        dict[str, kinds.RegulariserPart], Field(description="a list, as in regulariser=[beta_decay]")
    ]
    search_schedule: Annotated[
        dict[str, kinds.SearchSchedulePart], Field(description="a list, as in search_schedule=[early_stopping_skips]")
    ]
    selection: kinds.SelectionPart
    metric: MetricSettings
    metric_join: kinds.MetricJoinPart
    hypergradient: kinds.HypergradientPart
    threat: ThreatSettings
    objective: kinds.ObjectivePart
    search: SearchSettings
    retrain: RetrainSettings
    certified: CertifiedSettings
    evaluate: EvaluateSettings
    logger: Annotated[dict[str, kinds.LoggerPart], Field(description="a list, as in logger=[wandb,csv]")]
    trainer: TrainerSettings
