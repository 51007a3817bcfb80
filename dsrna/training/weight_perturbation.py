"""Weights that are moved against a loss for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from dsrna.functional.norms import image_norm, steepest_step


@contextmanager
def perturbed(weights: Sequence[Tensor], gradients: Sequence[Tensor | None], gamma: float) -> Iterator[None]:
    """Inside, every w_l is w_l + gamma ||w_l|| g_l / ||g_l||; afterwards, after errors too, what it was, to the bit.

    Vectors and numbers stay as they are: scales, shifts and biases, as in the released code; and what has no gradient.

    Args:
        weights: of the network, one tensor a layer.
        gradients: of the loss in them.
        gamma: relative length of the step.

    Source: Wu, Xia, Wang, Adversarial Weight Perturbation Helps Robust Generalization (NeurIPS 2020), eqs. 8 and 10.
    """
    moved = [
        (weight, weight.detach().clone(), gradient)
        for weight, gradient in zip(weights, gradients, strict=True)
        if weight.ndim > 1 and gradient is not None
    ]
    try:
        with torch.no_grad():
            for weight, before, gradient in moved:
                length = image_norm(before[None], 2)
                weight.add_(gamma * length * steepest_step(gradient[None], "l2")[0])
        yield
    finally:
        with torch.no_grad():
            for weight, before, _ in moved:
                weight.copy_(before)
