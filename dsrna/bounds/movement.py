"""Tensor methods that move values and bring in no new ones but zeros."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Move = Callable[[Tensor], Tensor]

VIEWS = {
    "contiguous",
    "expand",
    "flatten",
    "narrow",
    "permute",
    "reshape",
    "squeeze",
    "transpose",
    "unflatten",
    "unsqueeze",
    "view",
}
"""Methods whose result shares the memory of the tensor, or may."""

COPIES = {"clone", "flip", "repeat", "repeat_interleave", "roll"}
"""Methods whose result has a memory of its own."""


def keeps_images(move: Move, shape: torch.Size, device: torch.device) -> bool:
    """Whether a move leaves the values of every image with that image: it is tried on the images' numbers.

    Args:
        move: of values (N, ...).
        shape: of these values.
        device: where they are.
    """
    if len(shape) == 0:
        return False
    numbers = torch.arange(1, shape[0] + 1, device=device)
    moved = move(numbers.view(-1, *[1] * (len(shape) - 1)).expand(shape))
    if moved.ndim == 0 or len(moved) != len(numbers):
        return False
    rows = moved.reshape(len(numbers), -1)
    return bool(((rows == numbers[:, None]) | (rows == 0)).all())


def is_view(item: object) -> bool:
    """Whether indexing by ``item`` gives a view; by lists and tensors, it copies."""
    parts = item if isinstance(item, tuple) else (item,)
    return all(part is None or part is Ellipsis or isinstance(part, slice | int) for part in parts)
