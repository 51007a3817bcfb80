"""The unrolled hypergradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.nn.modes import without_gradients
from dsrna.strategies.hypergradient import (
    ArchitectureGradient,
    Hypergradient,
    InnerStep,
    Loss,
    Objective,
    loss_gradients,
    objective_gradients,
)

SecondDerivative = Literal["exact", "finite_difference"]

_RELATIVE_STEP = 0.01
"""eps * ||v|| in DARTS Eq. 8."""


class Unrolled(Hypergradient):
    """The derivative through one virtual weight step: w*(alphas) = w'(alphas).

    d/d alphas L_val(w', alphas) = d_alpha L_val(w', alphas) - xi * d2_{alpha,w} L_train(w, alphas) v,
    with w' = w - xi * (momentum * buffer + d_w L_train(w, alphas) + weight_decay * w) and v = d_{w'} L_val(w', alphas).

    ``exact`` takes the mixed derivative by double backward. ``finite_difference`` takes it as
    (d_alpha L_train(w + eps v) - d_alpha L_train(w - eps v)) / (2 eps) with eps = 0.01 / ||v||_2 over all weights.
    Cost: one look at the validation objective and two looks at the training loss, one of them differentiated twice
    (``exact``), or three, each differentiated once.

    Args:
        derivative: ``"exact"`` or ``"finite_difference"``.

    Raises:
        ConfigError: ``derivative`` is neither of the two.

    Source: Liu, Simonyan, Yang, DARTS (ICLR 2019), eqs. 7 and 8; momentum and weight decay as in the released code.
    """

    def __init__(self, derivative: SecondDerivative = "exact") -> None:
        if derivative not in get_args(SecondDerivative):
            raise ConfigError(
                f"Expected `derivative` to be 'exact' or 'finite_difference', got {derivative!r}. "
                "(conf: hypergradient.derivative)"
            )
        self.derivative = derivative

    def __call__(
        self,
        validation_loss: Objective,
        training_loss: Loss,
        alphas: Sequence[nn.Parameter],
        weights: Sequence[nn.Parameter],
        inner: InnerStep,
    ) -> ArchitectureGradient:
        """See :class:`Hypergradient`."""
        with without_gradients(alphas):
            slopes = loss_gradients(training_loss(), weights)
        ahead = inner.moved(weights, slopes)
        with _placed(weights, ahead):
            loss, gradients = objective_gradients(validation_loss(), alphas, weights)
        direct, direction = gradients[: len(alphas)], gradients[len(alphas) :]
        mixed = _exact if self.derivative == "exact" else _finite_difference
        through_weights = mixed(training_loss, alphas, weights, direction)
        return ArchitectureGradient(
            [
                gradient - inner.learning_rate * correction
                for gradient, correction in zip(direct, through_weights, strict=True)
            ],
            loss,
        )


def _exact(
    training_loss: Loss, alphas: Sequence[Tensor], weights: Sequence[Tensor], direction: Sequence[Tensor]
) -> list[Tensor]:
    """d2_{alpha,w} L_train v, as the derivative in the alphas of <d_w L_train, v>."""
    gradients = loss_gradients(training_loss(), weights, create_graph=True)
    pairs = zip(gradients, direction, strict=True)
    slope = torch.stack([(gradient * along).sum() for gradient, along in pairs]).sum()
    return loss_gradients(slope, alphas)


def _finite_difference(
    training_loss: Loss, alphas: Sequence[Tensor], weights: Sequence[Tensor], direction: Sequence[Tensor]
) -> list[Tensor]:
    """d2_{alpha,w} L_train v, by DARTS Eq. 8."""
    # In units of the largest entry: the squares of tiny ones would vanish, and the derivative with them.
    size = torch.stack([along.abs().max() for along in direction if along.numel()]).max()
    if size == 0:
        return [torch.zeros_like(alpha) for alpha in alphas]
    direction = torch._foreach_div(list(direction), size)
    eps = _RELATIVE_STEP / nn.utils.get_total_norm(direction)
    step = torch._foreach_mul(direction, eps)
    sides = []
    for sign in (1, -1):
        displaced = torch._foreach_add([weight.detach() for weight in weights], step, alpha=sign)
        with _placed(weights, displaced), without_gradients(weights):
            sides.append(loss_gradients(training_loss(), alphas))
    return [size * (above - below) / (2 * eps) for above, below in zip(*sides, strict=True)]


@contextmanager
def _placed(weights: Sequence[Tensor], values: Sequence[Tensor]) -> Iterator[None]:
    """Inside, the weights have other values; after, their own again. Graphs built inside are of no use after."""
    own = [weight.data for weight in weights]
    try:
        _point(weights, values)
        yield
    finally:
        _point(weights, own)


def _point(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.data = value  # another memory, no copy
