"""The largest eigenvalue of the input Hessian."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.attacks.pgd import check_count
from dsrna.functional.lanczos import largest_eigenvalues
from dsrna.proxies.base import Proxy
from dsrna.proxies.random_draws import gaussian


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
        return -largest_eigenvalues(product, start, self.steps).mean()
