"""The settings of a comparison: what all its networks share, and the rows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

from omegaconf import DictConfig
from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from dsrna.config.compose import key_of, run_settings
from dsrna.config.model import Model, check_all, distinct, refused
from dsrna.config.parts import nearest
from dsrna.config.settings import Settings
from dsrna.config.validate import validate
from dsrna.config.value_types import Seed
from dsrna.errors import ConfigError

OF_A_SEARCH = (
    "experiment", "search_method", "space", "sizes", "strategy", "regulariser", "search_schedule", "selection",
    "metric", "metric_join", "hypergradient", "search", "objective@search",
)  # fmt: skip
"""What a row may choose for its search. All else is the comparison's, and the same for every row."""

OF_A_QUERY = ("proxy", "method", "budget", "images", "cells", "channels")
"""What a row may choose for its search by queries."""

_SEEDS = "a list of different whole numbers in [0, 2**32)"
Seeds = Annotated[list[Seed], Field(min_length=1, description=_SEEDS), AfterValidator(distinct)]


class RowSettings(Model):
    """A method: where its architectures come from.

    One of these is given: ``search``, the overrides of a search; ``query``, those of a search by queries of a proxy;
    ``consensus``, a row of searches, whose mean operation weights stand for a cell; ``from``, an architecture;
    ``random``, a number of random cells, which have the parameters of those of the row ``like``, give or take a tenth,
    where that is given; ``model``, a network without cells, built with ``model_arguments`` and normalised by the data
    set's statistics as all others are.
    """

    name: Annotated[str, Field(pattern=r"^\w[\w.+-]*$", description="a name of letters, digits, dots and dashes")]
    about: str | None = None
    space: str | None = None
    search: list[str] | None = None
    query: list[str] | None = None
    consensus: str | None = None
    source: Annotated[str | None, Field(alias="from")] = None
    random: Annotated[int | None, Field(ge=1, le=1_000_000, description="a number of cells, at least 1")] = None
    like: str | None = None
    model: str | None = None
    model_arguments: dict[str, Any] | None = None

    @property
    def is_searched(self) -> bool:
        """Whether it has a cell for each search seed."""
        return self.search is not None or self.query is not None

    @field_validator("search", "query")
    @classmethod
    def _check_overrides(cls, overrides: list[str] | None, info: ValidationInfo) -> list[str] | None:
        of_it, what = (OF_A_SEARCH[:-1], "search") if info.field_name == "search" else (OF_A_QUERY, "query")
        for override in overrides or []:
            key = key_of(override)
            if key.partition(".")[0].partition("/")[0] not in of_it:
                raise refused(
                    ConfigError(
                        f"`{key}` is the same for all rows: set it for the whole comparison. A row's {what} chooses "
                        f"{', '.join(of_it)}."
                    )
                )
        return overrides

    @model_validator(mode="after")
    def _check(self) -> RowSettings:
        ways = ("search", "query", "consensus", "source", "random", "model")
        given = [key for key in ways if getattr(self, key) is not None]
        if len(given) != 1:
            raise refused(
                ConfigError(
                    f"Row {self.name}: expected one of `search`, `query`, `consensus`, `from`, `random` and `model`, "
                    f"got {len(given)} of them."
                )
            )
        if self.like is not None and self.random is None:
            raise refused(ConfigError(f"Row {self.name}: only random cells are `like` those of another row."))
        if self.model_arguments is not None and self.model is None:
            raise refused(ConfigError(f"Row {self.name}: only a `model` has `model_arguments`."))
        if self.space is not None and self.model is not None:
            raise refused(ConfigError(f"Row {self.name}: a `model` is of no search space: leave out `space`."))
        return self


class TransferSettings(Model):
    """Attacks from each network on each other one, by PGD of so many steps on so many of the first test images."""

    steps: Annotated[int, Field(ge=1, description="a number of steps, at least 1")]
    images: Annotated[int, Field(ge=1, description="a number of images, at least 1")]


class ComparisonSettings(Settings):
    """All settings of a comparison, resolved: those that every network shares, and the rows."""

    rows: Annotated[list[RowSettings], Field(min_length=1, description="a list of methods")]
    search_seeds: Seeds
    training_seeds: Seeds
    reference: str | None
    rehearsal: Literal["auto", "only", "never"]
    processes: Annotated[int, Field(ge=1, le=1024, description="a number of processes, 1 to 1,024")]
    transfer: TransferSettings | None

    def row(self, name: str) -> RowSettings:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)


def comparison_settings(config: DictConfig) -> ComparisonSettings:
    """Typed and checked settings of a comparison; what each row's search makes of them is composed later.

    Raises:
        ConfigError: lists every problem, each with its key.
    """
    settings = run_settings(ComparisonSettings, config)
    check_all([partial(validate, settings), *(partial(_refuse, problem) for problem in _problems(settings))])
    return settings


def _refuse(problem: str) -> None:
    raise ConfigError(problem)


def _problems(settings: ComparisonSettings) -> Iterator[str]:
    names = [row.name for row in settings.rows]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"{names.count(name)} rows are called {name}: give each a name of its own. (conf: rows)"
    named: list[tuple[str, Any]] = [("reference", settings.reference)]
    named += [("rows", name) for row in settings.rows for name in (row.like, row.consensus)]
    for key, name in named:
        if name is not None and name not in names:
            yield f"Unknown row `{name}`.{nearest(name, names)} There are: {', '.join(names)}. (conf: {key})"
    for row in settings.rows:
        like = settings.row(str(row.like)) if row.like in names else None
        if like is not None and (like.random is not None or like.model is not None):
            yield f"Row {row.name}: random cells are like those of a search or a published one. (conf: rows)"
        of = settings.row(str(row.consensus)) if row.consensus in names else None
        if of is not None and (of.search is None or of.space != row.space or len(settings.search_seeds) < 2):
            yield (
                f"Row {row.name}: a consensus is of at least two searches of one space: name a row with `search` and "
                "the same `space`, and give several search_seeds. (conf: rows)"
            )
    if settings.start_from is not None:
        yield "Rows say what is trained: leave out `from`. (conf: from)"
    if settings.sweep_objective is not None:
        yield "A comparison gives a sweep no one number to maximise. (conf: sweep_objective)"
    if settings.stages != ["search", "retrain", "evaluate"]:
        yield "A comparison searches, retrains and evaluates: leave out `stages`. (conf: stages)"
