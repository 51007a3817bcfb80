"""The number that a sweep maximises: a logged key, measured on validation images, never on the test split."""

from __future__ import annotations

from collections.abc import Sequence

from dsrna.config.parts import nearest, target_of
from dsrna.config.search_parts import metric_weight
from dsrna.config.settings import RunSettings, Settings
from dsrna.errors import ConfigError

AUTO = "auto"


def sweep_objective(settings: Settings) -> str | None:
    """The key of the number that the run gives to a sweep, higher = better; None where it gives none.

    Raises:
        ConfigError: the run doesn't measure it, or it is of the test split.
    """
    known, chosen = known_objectives(settings), settings.sweep_objective
    if chosen is None or (chosen == AUTO and not known):
        return None
    if chosen == AUTO:
        return known[0]
    if chosen in known:
        return chosen
    if isinstance(chosen, str) and "test" in chosen.split("/"):
        raise ConfigError(
            f"The test split chooses nothing: maximise one of {', '.join(known)}. (conf: sweep_objective)"
        )
    there = f"Choose from: {', '.join(known)}, auto, null" if known else "Its stages measure none: leave it `auto`"
    raise ConfigError(
        f"Expected a number that this run measures on validation images, higher = better, got {chosen!r}."
        f"{nearest(str(chosen), known)} {there}. (conf: sweep_objective)"
    )


def known_objectives(settings: Settings) -> list[str]:
    """What the stages of a run measure on validation images and is better when it is higher; the usual one first."""
    stages = settings.stages if isinstance(settings.stages, list) else []
    known = []
    if "retrain" in stages:
        proved = ["val/acc_certified"] if _certifies(settings.objective) else []
        known += [f"retrain/{name}" for name in ("val/acc_adv", "val/acc", *proved)]
        if settings.retrain.certified:
            known += [f"certified/{name}" for name in ("val/acc_certified", "val/acc_adv", "val/acc")]
    if "search" in stages:
        weight = metric_weight(settings)
        scored = weight.at(weight.epochs - 1) > 0
        known += [*(["search/val/score"] if scored else []), "search/val/acc"]
    return known


def refuse_mixed(every: Sequence[RunSettings]) -> None:
    """Raises ConfigError where the jobs of a sweeper that maximises would be compared by different numbers."""
    names = {str(sweep_objective(settings)) for settings in every if isinstance(settings, Settings)}
    if len(names) > 1:
        raise ConfigError(
            f"The sweeper would compare different numbers, {', '.join(sorted(names))}: name one of them. "
            "(conf: sweep_objective)"
        )


def _certifies(node: object) -> bool:
    from dsrna.objectives.base import Objective  # slow to import

    return getattr(target_of(node, "objective"), "certified", Objective.certified) is not Objective.certified
