"""What every way of taking the hypergradient shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dsrna.distributed import group
from dsrna.errors import UnsupportedError

Loss = Callable[[], Tensor]
"""Computes a scalar loss from scratch, at the current weights and alphas."""


@dataclass(frozen=True)
class Weighed:
    """A term whose weight, and that of all terms before it, is found from their gradients in the alphas.

    Attributes:
        term: scalar.
        weigh: (gradients of the terms before, gradients of this one), one tensor for each of the alphas -> the weight
            of the terms before, the weight of this one.
    """

    term: Tensor
    weigh: Callable[[Sequence[Tensor], Sequence[Tensor]], tuple[float, float]]


Objective = Callable[[], Tensor | Iterable[Tensor | Weighed]]
"""The same for the architecture step; a sum may be given as its scalar terms, one after another. Each term is
differentiated before the next is computed, so that only one graph is in memory at a time."""


class ArchitectureGradient(NamedTuple):
    """A hypergradient.

    Attributes:
        gradients: one tensor for each of the alphas, of its shape; zeros where the objective doesn't depend on it.
        loss: detached scalar, the validation objective at the weights at which it was looked at.
    """

    gradients: list[Tensor]
    loss: Tensor


@dataclass(frozen=True)
class InnerStep:
    """The weight step that the unrolled hypergradient looks ahead with.

    w' = w - learning_rate * (momentum * buffer + g + weight_decay * w), with g the gradient of the training loss.

    Attributes:
        learning_rate: xi.
        momentum: that of SGD.
        weight_decay: that of SGD.
        momentum_buffers: one for each weight, in their order; None where there is none yet. Empty for none at all.
    """

    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    momentum_buffers: Sequence[Tensor | None] = ()

    @classmethod
    def of(cls, optimizer: torch.optim.Optimizer, weights: Sequence[nn.Parameter]) -> InnerStep:
        """The step that an optimiser is about to take.

        For SGD with classic momentum exactly that, as in DARTS's released code. For every other optimiser the plain
        gradient step of DARTS Eq. 7, with its learning rate.

        Args:
            optimizer: of the network weights.
            weights: the network weights, in the order of the hypergradient's call.

        Raises:
            UnsupportedError: the optimiser has several parameter groups.
        """
        if len(optimizer.param_groups) != 1:
            raise UnsupportedError(
                f"Expected one parameter group in the weights' optimiser, got {len(optimizer.param_groups)}; the "
                "unrolled weight step has one learning rate and weight decay for all weights."
            )
        (group,) = optimizer.param_groups
        learning_rate = float(group["lr"])
        if not isinstance(optimizer, torch.optim.SGD) or group["nesterov"] or group["dampening"]:
            return cls(learning_rate)
        buffers = [optimizer.state.get(weight, {}).get("momentum_buffer") for weight in weights]
        return cls(learning_rate, group["momentum"], group["weight_decay"], buffers)

    def moved(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """The weights w' after the step, as new tensors without a graph."""
        own = [weight.detach() for weight in weights]
        directions = torch._foreach_add([gradient.detach() for gradient in gradients], own, alpha=self.weight_decay)
        buffers = self.momentum_buffers or [None] * len(own)
        for direction, buffer in zip(directions, buffers, strict=True):
            if buffer is not None:  # a weight has none before its first step
                direction.add_(buffer, alpha=self.momentum)
        return list(torch._foreach_add(own, directions, alpha=-self.learning_rate))


class Hypergradient(ABC):
    """d/d alphas of L_val(w*(alphas), alphas), with w* the weights that minimise the training loss.

    Both losses are closures, so that they can be looked at with other weights. The validation closure holds the whole
    objective of the architecture step, L_val - gamma * R, so the robustness metric is looked at and differentiated
    wherever L_val is. A closure may be called several times: random numbers in it should be the same each time, and
    keeping BatchNorm's running statistics is its caller's business.
    """

    @abstractmethod
    def __call__(
        self,
        validation_loss: Objective,
        training_loss: Loss,
        alphas: Sequence[nn.Parameter],
        weights: Sequence[nn.Parameter],
        inner: InnerStep,
    ) -> ArchitectureGradient:
        """The hypergradient. Weights, momentum buffers and ``.grad`` are left as they were, after an error too."""


def objective_gradients(
    objective: Tensor | Iterable[Tensor | Weighed], alphas: Sequence[Tensor], weights: Sequence[Tensor] = ()
) -> tuple[Tensor, list[Tensor]]:
    """The objective's value (detached) and its gradients in alphas and weights, term by term."""
    inputs = [*alphas, *weights]
    total, gradients = torch.zeros(()), [torch.zeros_like(tensor) for tensor in inputs]
    for each in (objective,) if isinstance(objective, Tensor) else objective:
        term = each.term if isinstance(each, Weighed) else each
        of_term, before, own = loss_gradients(term, inputs), 1.0, 1.0
        if isinstance(each, Weighed):
            before, own = each.weigh(gradients[: len(alphas)], of_term[: len(alphas)])
        total = own * term.detach() + before * total.to(term.device)
        for gradient, addend in zip(gradients, of_term, strict=True):
            gradient.mul_(before).add_(addend, alpha=own)
    return total, gradients


def loss_gradients(loss: Tensor, inputs: Sequence[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    """d loss / d inputs, zeros where the loss doesn't depend on one; without a graph the mean over all processes."""
    if not loss.requires_grad:
        return [torch.zeros_like(tensor) for tensor in inputs]
    gradients = torch.autograd.grad(
        loss, list(inputs), create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
    # With a graph they are this process's own, of which something linear is differentiated, and averaged, next.
    return list(gradients) if create_graph else group.averaged_all(gradients)
