"""Average pooling whose gradients are right on every device, in every memory format, eager and compiled."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from dsrna.functional.memory_format import channels_last


def average_pool(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """:func:`torch.nn.functional.avg_pool2d`, to the last bit, with the right gradient also on CUDA.

    There torch 2.11 to 2.13 forget the padding in the gradient of channels-last maps. Maps without images, (N C, H, W),
    have no such format; so padded ones are pooled, at the cost of two copies, whatever torch's version: derivatives of
    every order are right, whatever the strides.

    Args:
        x: (N, C, H, W); the others as in torch.

    Returns:
        (N, C, H', W').

    Source: https://github.com/pytorch/pytorch/issues/188344.
    """
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    if padding in (0, (0, 0)) or not _is_distrusted(x) or x.numel() == 0:
        return F.avg_pool2d(x, *options)
    return channels_last(F.avg_pool2d(x.flatten(0, -3), *options).unflatten(0, x.shape[:-2]))


def _is_distrusted(x: Tensor) -> bool:
    """Whether a version of torch that we allow has a wrong gradient where x is."""
    return isinstance(x, Tensor) and x.is_cuda  # bounds bring their own operations


def halved(x: Tensor) -> Tensor:
    """Averages of blocks of 2 x 2 pixels; at the border of a map of odd size, over the pixels that are there.

    The same as torch's pooling with ``ceil_mode``, to the last bit, whose gradient ``torch.compile`` gets wrong (seen
    with torch 2.14 and 2.15). Here an odd side gets a pixel before it, so that the incomplete blocks are those that
    reach into the padding, and loses the block that this pixel begins.

    Args:
        x: (N, C, H, W).

    Returns:
        (N, C, ceil(H / 2), ceil(W / 2)).

    Source: https://github.com/pytorch/pytorch/issues/198119.
    """
    rows, columns = x.shape[-2] % 2, x.shape[-1] % 2
    if not (rows or columns):
        return average_pool(x, 2)
    shifted = F.pad(x, (columns, 0, rows, 0))
    return average_pool(shifted, 2, padding=(rows, columns), count_include_pad=False)[:, :, rows:, columns:]
