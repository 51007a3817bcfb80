"""The largest eigenvalue of the input Hessian."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.attacks.pgd import check_count
from dsrna.proxies.base import Proxy
from dsrna.proxies.eigenvalues import eigenvalues
from dsrna.proxies.random_draws import gaussian

_BREAKDOWN = 1e-5
"""A new direction this short, relative to the product that it comes from, is rounding."""


class InputHessian(Proxy):
    """-mean_n lambda_max(H(x_n)), H the Hessian of an image's cross-entropy in the image.

    The eigenvalue is approached from below by Lanczos iteration from a random direction, all images at once. Networks
    of ReLU and linear layers have a Hessian of rank K - 1 at most, for which K steps are exact and a few are near.
    BatchNorm's statistics are those of the batch, held constant.

    Cost: a forward pass, a backward pass, and one double backward pass a step.

    Args:
        steps: Hessian-vector products, >= 1.

    Source: Jung, Lukasik, Keuper, ICLR 2023, who follow Zhao et al. 2020 and Mok et al., AdvRush, 2021.
    """

    batch_norm = "calibrated"

    def __init__(self, steps: int = 6) -> None:
        check_count("steps", steps)
        self.steps = steps

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        model.requires_grad_(False)
        images = x.requires_grad_()
        loss = F.cross_entropy(model(images), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, images, create_graph=True)

        def product(vectors: Tensor) -> Tensor:
            if not gradient.requires_grad:  # linear in the images
                return torch.zeros_like(vectors)
            (found,) = torch.autograd.grad(
                gradient, images, vectors.view_as(images).to(x.dtype), retain_graph=True, materialize_grads=True
            )
            return found.flatten(1).double()

        start = gaussian(x.detach(), generator).flatten(1).double()
        return -_largest_eigenvalues(product, start, min(self.steps, x[0].numel())).mean()


def _largest_eigenvalues(product: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Tensor:
    """(N,) largest Ritz values of N symmetric matrices after ``steps`` Lanczos steps from ``start`` (N, D)."""
    basis = [F.normalize(start, dim=1)]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for _ in range(steps):
        moved = product(basis[-1])
        value = (basis[-1] * moved).sum(dim=1)
        exhausted = basis[-1].norm(dim=1) == 0
        # An exhausted image repeats its first value, which is no more than its largest eigenvalue.
        diagonal.append(torch.where(exhausted, diagonal[0], value) if diagonal else value)
        rest = moved
        for _ in range(2):  # once is not enough against rounding
            for direction in basis:
                rest = rest - (direction * rest).sum(dim=1, keepdim=True) * direction
        length = rest.norm(dim=1)
        length = torch.where(length > _BREAKDOWN * moved.norm(dim=1), length, 0.0)
        beside.append(length)
        basis.append(rest / length[:, None].masked_fill(length[:, None] == 0, torch.inf))
    tridiagonal = torch.diag_embed(torch.stack(diagonal, dim=1))
    if steps > 1:
        off = torch.diag_embed(torch.stack(beside[:-1], dim=1), offset=1)
        tridiagonal = tridiagonal + off + off.mT
    return eigenvalues(tridiagonal)[:, -1]
