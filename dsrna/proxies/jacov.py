"""Jacobian covariance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.functional.eigenvalues import eigenvalues
from dsrna.proxies.base import Proxy
from dsrna.proxies.input_gradients import correlations, input_gradients

_FLOOR = 1e-5


class JacobianCovariance(Proxy):
    """-sum_i (log(v_i + k) + 1 / (v_i + k)), v the eigenvalues of the correlations of input gradients, k = 1e-5.

    Input gradients are those of the summed logits, one an image; the more they differ between images, the higher the
    score. Doesn't look at classes.

    Cost: a forward and a backward pass. Source: Mellor et al., Neural architecture search without training, first
    version (arXiv 2006.04647v1).
    """

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        correlated = correlations(input_gradients(model, x)[0])
        # Rounding can make an eigenvalue of 0 a little less than 0.
        values = eigenvalues(correlated).clamp(min=0) + _FLOOR
        return -(values.log() + 1 / values).sum()
