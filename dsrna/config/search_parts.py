"""The parts of a search that come in lists, what must fit its alphas, and when its metric counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsrna.config.optimizers import tried_optimizer
from dsrna.config.parts import build_part, located
from dsrna.config.settings import Settings
from dsrna.errors import ConfigError
from dsrna.training.metric_weight import MetricWeight

if TYPE_CHECKING:
    from dsrna.spaces.search_space import SearchSpace
    from dsrna.strategies.architecture import Architecture
    from dsrna.strategies.regularisers.base import Regulariser
    from dsrna.strategies.schedules.base import SearchSchedule
    from dsrna.strategies.strategy import Strategy


def build_regularisers(settings: Settings) -> list[Regulariser]:
    """The regularisers of the search, in the config's order."""
    return list(_built("regulariser", settings.regulariser, "beta_decay").values())


def build_search_schedules(settings: Settings) -> list[SearchSchedule]:
    """The search schedules, in the config's order."""
    return list(_built("search_schedule", settings.search_schedule, "early_stopping_skips").values())


def check_search_parts(settings: Settings) -> None:
    """Asks regularisers and search schedules whether they make sense here; builds no network.

    Raises:
        ConfigError: one doesn't.
    """
    regularisers = _built("regulariser", settings.regulariser, "beta_decay")
    schedules = _built("search_schedule", settings.search_schedule, "early_stopping_skips")
    if not regularisers and not schedules:
        return
    kinds = [type(schedule) for schedule in schedules.values()]
    if len(set(kinds)) < len(kinds):
        raise ConfigError(
            f"Expected one schedule of a kind, got {', '.join(schedules)}: leave all of a kind but one out. "
            "(conf: search_schedule)"
        )
    space, _, architecture = _start(settings)
    for name, regulariser in regularisers.items():
        with located(f"regulariser.{name}", settings.regulariser[name]):
            regulariser.check(space, architecture)
    for name, schedule in schedules.items():
        with located(f"search_schedule.{name}", settings.search_schedule[name]):
            schedule.check(space, architecture, settings.search.warmup_epochs, settings.search.epochs)


def check_alphas_optimizer(settings: Settings) -> None:
    """Builds the optimiser of the alphas, for alphas such as the strategy's.

    Raises:
        ConfigError: it can't be built, or doesn't move such alphas; or nothing moves them, and a metric would like to.
    """
    _, strategy, architecture = _start(settings)
    if not architecture.learns and settings.metric.weight > 0:
        raise ConfigError(
            f"{type(strategy).__name__} takes no architecture steps, in which alone a metric counts: metric=none. "
            "(conf: metric)"
        )
    alphas = list(architecture.parameters())
    strategy.check_optimizer(tried_optimizer(settings.search.alphas_optimizer, "search.alphas_optimizer", alphas))


def search_epochs(settings: Settings) -> tuple[int, int]:
    """Epochs of the search, and how many of them are without architecture steps, within the trainer's limits."""
    search, limit = settings.search, settings.trainer.limits.epochs
    epochs = search.epochs if limit is None else min(search.epochs, limit)
    return epochs, min(search.warmup_epochs, epochs - 1)


def metric_weight(settings: Settings) -> MetricWeight:
    """The metric's weight over the epochs of the search."""
    epochs, warmup = search_epochs(settings)
    metric = settings.metric
    return MetricWeight(metric.weight, warmup + metric.warmup_epochs, epochs, metric.weight_schedule)


def _start(settings: Settings) -> tuple[SearchSpace, Strategy, Architecture]:
    """What a search begins with, but for its random numbers."""
    from dsrna.functional.seeding import generator

    space, strategy = build_part(settings.space, "space"), build_part(settings.strategy, "strategy")
    return space, strategy, strategy.initial(space, generator(settings.seed, "check"))


def _built(group: str, nodes: Any, example: str) -> dict[str, Any]:
    if not isinstance(nodes, dict):
        raise ConfigError(f"Expected a list, as in {group}=[{example}], got {nodes!r}. (conf: {group})")
    return {name: build_part(node, f"{group}.{name}") for name, node in nodes.items()}
