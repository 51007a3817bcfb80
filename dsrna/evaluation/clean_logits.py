"""A network's answers on clean images, refused where nothing could be measured on them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsrna.attacks import frozen
from dsrna.attacks.base import check_batch
from dsrna.errors import DataError, NonFiniteError


def clean_logits(model: nn.Module, x: Tensor, y: Tensor, classes: int, place: slice) -> Tensor:
    """The logits (N, K) in evaluation mode.

    Args:
        model: network (N, C, H, W) -> logits (N, K).
        x: (N, C, H, W) images in [0, 1].
        y: (N,) classes.
        classes: K.
        place: where the images stand in the data set, for messages.

    Raises:
        DataError: images, classes or number of logits are not as above.
        NonFiniteError: a logit is NaN or infinite.
    """
    check_batch(x, y)
    with frozen(model), torch.no_grad():
        logits: Tensor = model(x)
    if logits.shape != (len(x), classes):
        raise DataError(
            f"Expected logits of shape ({len(x)}, {classes}) for {classes} classes, got {tuple(logits.shape)}: the "
            "network was trained for other data. (conf: data)"
        )
    if not bool(logits.isfinite().all()):
        raise NonFiniteError(
            f"The network's logits on the clean images {place.start} to {place.stop - 1} are not finite, so it can't "
            "be evaluated; its weights diverged in training."
        )
    return logits
