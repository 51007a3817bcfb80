"""BatchNorm whose forward-mode derivative can be differentiated again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class PlainBatchNorm(TorchFunctionMode):
    """Inside, BatchNorm by the batch's own statistics is computed by plain arithmetic.

    torch's own (2.11 to 2.15) has the right forward-mode derivative, but takes the statistics for constants when that
    is differentiated once more: without an error, gradients are wrong by some per cent to their sign. Running
    statistics move as ever.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        computed = _batch_norm if func is F.batch_norm else func
        return computed(*args, **(kwargs or {}))


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As ``F.batch_norm``, whose arguments it takes."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is not None:
        with torch.no_grad():
            F.batch_norm(forward_ad.unpack_dual(x).primal, running_mean, running_var, None, None, True, momentum, eps)
    others = [0, *range(2, x.ndim)]
    channels = (1, -1, *[1] * (x.ndim - 2))
    centred = x - x.mean(others, keepdim=True)
    normalised = centred * (centred.square().mean(others, keepdim=True) + eps).rsqrt()
    if weight is not None:
        normalised = normalised * weight.view(channels)
    return normalised if bias is None else normalised + bias.view(channels)
