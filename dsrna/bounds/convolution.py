"""The transpose of a convolution."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from dsrna.errors import UnsupportedError

Pair = tuple[int, int]


def transposed_conv2d(
    rows: Tensor, weight: Tensor, size: Pair, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Rows over the output of a convolution -> rows over its input: the transpose of the linear map.

    At stride 1 it is computed as a convolution with flipped kernels, which is faster than the transposed one.

    Args:
        rows: (R, N, C_out, H_out, W_out).
        weight: (C_out, C_in / groups, kh, kw).
        size: (H, W) of the input.
        stride, padding, dilation, groups: of the convolution.

    Returns:
        (R, N, C_in, H, W). Differentiable in rows and weight, any number of times.

    Raises:
        UnsupportedError: ``padding="same"`` with a kernel that can't be centred.
    """
    steps, gaps = pair(stride), pair(dilation)
    reach = tuple(gap * (length - 1) for gap, length in zip(gaps, weight.shape[2:], strict=True))
    margins = _margins(padding, reach)
    images = rows.flatten(0, 1)
    if steps == (1, 1):
        kernel = weight.flip(2, 3).unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        pads = [span - margin for span, margin in zip(reach, margins, strict=True)]
        if min(pads) >= 0:
            substituted = F.conv2d(images, kernel, None, 1, pads, gaps, groups)
            return substituted.unflatten(0, rows.shape[:2])
    rest = [size[i] - ((rows.shape[3 + i] - 1) * steps[i] - 2 * margins[i] + reach[i] + 1) for i in (0, 1)]
    substituted = F.conv_transpose2d(images, weight, None, steps, margins, rest, groups, gaps)
    return substituted.unflatten(0, rows.shape[:2])


def _margins(padding: Any, reach: tuple[int, ...]) -> Pair:
    if padding == "valid":
        return (0, 0)
    if padding != "same":
        return pair(padding)
    if any(span % 2 for span in reach):
        raise UnsupportedError('No bound is known for padding="same" with an even kernel; pad with zeros before it.')
    return (reach[0] // 2, reach[1] // 2)


def pair(value: Any) -> Pair:
    """What torch makes of a size that is given as one number, or as one for each side."""
    if isinstance(value, int):
        return (value, value)
    first, *rest = value
    return (first, rest[0] if rest else first)
