"""Training a candidate: a path of the supernet a little further, or a network of its own from the start."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from dsrna.data.loader import Batch
from dsrna.errors import NonFiniteError
from dsrna.nn.modes import submodules
from dsrna.strategies.selection.paths import LossOf


def train(
    network: nn.Module,
    objective: LossOf,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    *,
    gradient_clip: float,
    noise: Callable[[int], torch.Generator],
    before_step: Callable[[int], None] = lambda number: None,
    after_step: Callable[[int], None] = lambda number: None,
) -> float:
    """Trains a network in place, one step a batch, in training mode.

    Args:
        network: its modes come back.
        objective: the loss.
        batches: on the CPU.
        optimizer: of the network's weights.
        gradient_clip: largest norm of the gradient; 0 switches clipping off.
        noise: number of a step, from 0 -> its random numbers.
        before_step: is told the number of each step.
        after_step: is told it when the step is done.

    Returns:
        The mean loss over the steps.

    Raises:
        NonFiniteError: a gradient is NaN or infinite; that step isn't taken.
    """
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    modes = [(module, module.training) for module in submodules(network)]
    network.train()
    losses = []
    for number, (x, y) in enumerate(batches):
        before_step(number)
        result = objective(network, x.to(weights[0]), y.to(weights[0].device), noise(number))
        optimizer.zero_grad()
        result.loss.backward()
        slopes = [weight.grad for weight in weights if weight.grad is not None]
        norm, delta = nn.utils.get_total_norm(slopes), None if result.carried is None else result.carried.delta
        if not bool(norm.isfinite()) or not (delta is None or delta.grad is None or bool(delta.grad.isfinite().all())):
            raise NonFiniteError(
                f"A gradient became NaN or infinite in step {number + 1} of the training of a selection's candidate. "
                "Lower the learning rate, or clip the gradient to a smaller norm."
            )
        if result.carried is not None and result.carried.delta.grad is not None:
            result.carried.move(result.carried.delta, result.carried.delta.grad)
        if gradient_clip > 0:
            nn.utils.clip_grads_with_norm_(weights, gradient_clip, norm)
        optimizer.step()
        losses.append(result.loss.detach())
        after_step(number)
    optimizer.zero_grad()
    for module, training in modes:
        module.training = training
    return float(torch.stack(losses).mean()) if losses else float("nan")


def fine_tune(
    network: nn.Module,
    objective: LossOf,
    batches: Iterable[Batch],
    *,
    learning_rate: float,
    gradient_clip: float,
    noise: Callable[[int], torch.Generator],
) -> None:
    """:func:`train` by SGD with momentum .9 and a constant learning rate."""
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=learning_rate, momentum=0.9)
    train(network, objective, batches, optimizer, gradient_clip=gradient_clip, noise=noise)
