"""Building the training losses of a search and of what follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from dsrna.config.parts import build_part
from dsrna.errors import ConfigError
from dsrna.types import Threat

KIND = "dsrna.objectives.base.Objective"
STEPS = ("search.weights_objective", "search.architecture_objective")

if TYPE_CHECKING:  # importing them takes a second, which only those wait for who need them
    from dsrna.config.settings import SearchSettings
    from dsrna.nn.modes import BatchNormMode
    from dsrna.objectives.base import Objective


def retrain_objective(node: Any, where: str, threat: Threat) -> Objective:
    """The objective of a derived network, whose running statistics are what is evaluated in the end."""
    return _objective(node, where, threat, "running")


def search_objective(node: Any, where: str, threat: Threat) -> Objective:
    """That of a search's steps.

    The running statistics of a supernet lag behind weights and operation weights that move, or are drawn anew in each
    step: by them, another network would be attacked than the one that the loss is of.

    Raises:
        ConfigError: the objective makes no sense in a search.
    """
    built = _objective(node, where, threat, "batch")
    from dsrna.objectives.base import Objective

    if type(built).initialise is not Objective.initialise and where not in STEPS:
        raise ConfigError(
            f"{type(built).__name__} trains networks from weights of its own, and the paths of a supernet have others: "
            f"take it for both {' and '.join(STEPS)}, and another one here. (conf: {where})"
        )
    if built.carries and where != "search.weights_objective":
        raise ConfigError(
            f"{type(built).__name__} moves images by the backward passes of weight steps on the same batch, and "
            "neither architecture steps nor scores take any: choose another one here, such as `fast`, and this one for "
            f"search.weights_objective. (conf: {where})"
        )
    if built.weight_perturbation > 0:
        raise ConfigError(
            "Weights are perturbed in training networks, not in searches: choose an objective without "
            f"`weight_perturbation`. (conf: {where})"
        )
    return built


Build = Callable[[Any, str, Threat], "Objective"]


def selection_objective(
    search: SearchSettings, steps: Literal["weights", "architecture"], threat: Threat, build: Build = retrain_objective
) -> Objective:
    """That of a selection's candidates: the one of ``search.selection_objective`` where it is given, else that of the
    search's weight or architecture steps. What ranks them may be another one, ``search.ranking_objective``.

    Args:
        search: the settings.
        steps: which objective of the search is meant: ``"weights"`` train candidates, ``"architecture"`` rank them.
        threat: the threat.
        build: :func:`retrain_objective` for networks whose running statistics are their own, the other one for those
            that still have a supernet's.
    """
    if steps == "architecture" and search.ranking_objective is not None:
        return build(search.ranking_objective, "search.ranking_objective", threat)
    if search.selection_objective is not None:
        return build(search.selection_objective, "search.selection_objective", threat)
    node = search.weights_objective if steps == "weights" else search.architecture_objective
    return build(node, f"search.{steps}_objective", threat)


def _objective(node: Any, where: str, threat: Threat, auto: BatchNormMode) -> Objective:
    if isinstance(node, dict) and node.get("batch_norm") == "auto":
        node = node | {"batch_norm": auto}
    built: Objective = build_part(node, where, kind=KIND, threat=threat)
    return built
