"""Optimisers and learning-rate schedules from config nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from dsrna.config.parts import build_part
from dsrna.errors import ConfigError


def build_optimizer(node: dict[str, Any], where: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser that ``node`` describes, over ``parameters`` in the order given."""
    return build_part(node, where, params=list(parameters))


def build_schedule(
    node: dict[str, Any] | None, where: str, optimizer: torch.optim.Optimizer, *, epochs: int, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """The schedule that ``node`` describes.

    An argument ``auto`` becomes the number of its intervals, and ``max_lr: auto`` the optimiser's learning rate.

    Args:
        node: None switches it off; ``interval: step`` or ``epoch`` (the default) says when it advances; an argument
            that is None is left out, so that a schedule can take another one's place in a config.
        where: config key, for messages.
        optimizer: whose learning rate is scheduled.
        epochs: epochs of the stage.
        steps_per_epoch: weight steps an epoch.

    Raises:
        ConfigError: the node is wrong, or its schedule is over before the stage is.
    """
    if node is None:
        return None
    count = epochs * steps_per_epoch if interval_of(node) == "step" else epochs
    given = {key: value for key, value in node.items() if key != "interval" and value is not None}
    auto = dict.fromkeys(given, count) | {"max_lr": [group["lr"] for group in optimizer.param_groups]}
    arguments = {key: auto[key] if value == "auto" else value for key, value in given.items()}
    total = arguments.get("total_steps")
    if isinstance(total, int) and total < count:
        raise ConfigError(
            f"Expected `total_steps` of at least the stage's {count} intervals, got {total}: write `auto`. "
            f"(conf: {where}.total_steps)"
        )
    return build_part(arguments, where, optimizer=optimizer)


def interval_of(node: dict[str, Any] | None) -> str:
    """``"epoch"`` or ``"step"``."""
    return "epoch" if node is None else str(node.get("interval", "epoch"))
