"""Training a path of the supernet a little further."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from dsrna.data.loader import Batch
from dsrna.nn.modes import submodules
from dsrna.strategies.selection.paths import LossOf


def fine_tune(
    network: nn.Module,
    objective: LossOf,
    batches: Iterable[Batch],
    *,
    learning_rate: float,
    gradient_clip: float,
    noise: Callable[[int], torch.Generator],
) -> None:
    """Trains a network in place by SGD with momentum .9, one step a batch, in training mode.

    Args:
        network: its modes come back.
        objective: the loss.
        batches: on the CPU.
        learning_rate: constant.
        gradient_clip: largest norm of the gradient; 0 switches clipping off.
        noise: number of a step -> its random numbers.
    """
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=learning_rate, momentum=0.9)
    modes = [(module, module.training) for module in submodules(network)]
    network.train()
    for number, (x, y) in enumerate(batches):
        loss = objective(network, x.to(weights[0]), y.to(weights[0].device), noise(number)).loss
        optimizer.zero_grad()
        loss.backward()
        if gradient_clip > 0:
            nn.utils.clip_grad_norm_(weights, gradient_clip)
        optimizer.step()
    optimizer.zero_grad()
    for module, training in modes:
        module.training = training
