"""Optimisers and learning-rate schedules from config nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from dsrna.config.parts import build_part
from dsrna.errors import ConfigError


def build_optimizer(node: dict[str, Any], where: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser that ``node`` describes, over ``parameters`` in the order given.

    With SGD a parameter may have its first gradient later than others, also where steps are fused.
    """
    built: torch.optim.Optimizer = build_part(node, where, params=list(parameters))
    if isinstance(built, torch.optim.SGD):
        _let_momenta_begin_late(built)
    return built


def _let_momenta_begin_late(optimizer: torch.optim.SGD) -> None:
    """torch's fused SGD begins all momenta at once, or raises; its other implementations begin each when it's due.

    So those take the steps in which some momenta are there and others begin.
    """
    unfused: list[dict[str, Any]] = []

    def before(*_: Any) -> None:
        for group in optimizer.param_groups:
            known = ["momentum_buffer" in optimizer.state[p] for p in group["params"] if p.grad is not None]
            if group["fused"] and group["momentum"] and any(known) and not all(known):
                group["fused"] = False
                unfused.append(group)

    def after(*_: Any) -> None:
        while unfused:
            unfused.pop()["fused"] = True

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)


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
