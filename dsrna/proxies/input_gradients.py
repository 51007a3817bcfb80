"""Gradients of the summed logits to the images, which two proxies compare between images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def input_gradients(model: nn.Module, x: Tensor) -> tuple[Tensor, int]:
    """(N, D) gradient of the sum of all logits to each image, in double precision, and the number of logits."""
    images = x.requires_grad_()
    logits = model(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    return gradient.flatten(1).double(), logits.shape[1]


def correlations(rows: Tensor) -> Tensor:
    """(n, n) correlation coefficients of rows (n, D); NaN where a row is constant."""
    centred = rows - rows.mean(dim=1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True)
    return unit @ unit.T
