"""EPE-NAS."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.proxies.base import Proxy
from dsrna.proxies.input_gradients import correlations, input_gradients

_FLOOR = 1e-5
_MANY_CLASSES = 100


class EpeNas(Proxy):
    """sum_c |s_c| with s_c = sum_ij log(|r_ij| + k) over the images of class c, r as in jacov, k = 1e-5.

    With more than 100 classes, s_c is divided by the number of images of c, and the score is
    sum_cd |s_c - s_d| / (number of classes seen).

    Cost: a forward and a backward pass. Source: Lopes, Alirezazadeh, Alexandre, EPE-NAS, ICANN 2021, eqs. 4-7.
    """

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        gradients, classes = input_gradients(model, x)
        sums = []
        for label in y.unique():
            logs = (correlations(gradients[y == label]).abs() + _FLOOR).log()
            sums.append(logs.sum() / (len(logs) if classes > _MANY_CLASSES else 1))
        values = torch.stack(sums)
        if classes <= _MANY_CLASSES:
            return values.abs().sum()
        return (values[:, None] - values).abs().sum() / len(values)
