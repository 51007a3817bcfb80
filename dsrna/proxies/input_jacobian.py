"""The norm of the input Jacobian."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from dsrna.errors import ConfigError
from dsrna.functional.jacobian import jacobian_row
from dsrna.functional.norms import dual_exponent, image_norm
from dsrna.proxies.base import Proxy

JacobianSize = Literal["frobenius", "linf", "l2", "l1"]


class InputJacobian(Proxy):
    """-mean_n ||J(x_n)||, J the Jacobian (K, D) of an image's logits. Doesn't look at classes.

    ``frobenius``: ||J||_F. ``linf``, ``l2``, ``l1``: (1/K) sum_k ||J_k||_q with the q that is dual to that norm, as in
    :class:`~dsrna.metrics.jacobian.JacobianNorm`. BatchNorm's statistics are those of the batch, held constant.

    Cost: a forward pass and K backward passes to the images.

    Args:
        norm: see above.

    Source: Jung, Lukasik, Keuper, ICLR 2023, eq. 4 (Frobenius); Hosseini, Yang, Xie, DSRNA, CVPR 2021 (q-norms).
    """

    batch_norm = "calibrated"

    def __init__(self, norm: JacobianSize = "frobenius") -> None:
        if norm not in get_args(JacobianSize):
            raise ConfigError(
                f"Expected `norm` to be one of {', '.join(get_args(JacobianSize))}, got {norm!r}. (conf: norm)"
            )
        self.norm = norm

    def score(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
        model.requires_grad_(False)
        images = x.requires_grad_()
        logits = model(images)
        classes = torch.arange(logits.shape[1], device=x.device)
        rows = [jacobian_row(logits, images, each.expand(len(x)), create_graph=False) for each in classes]
        if self.norm == "frobenius":
            return -image_norm(torch.stack(rows, dim=1), 2).mean()
        return -torch.stack([image_norm(row, dual_exponent(self.norm)) for row in rows]).mean()
