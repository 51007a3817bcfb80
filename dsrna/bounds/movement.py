"""Tensor methods that move values and bring in no new ones but zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Move = Callable[[Tensor], Tensor]

VIEWS = {
    "contiguous",
    "expand",
    "flatten",
    "movedim",
    "narrow",
    "permute",
    "reshape",
    "select",
    "squeeze",
    "transpose",
    "unflatten",
    "unsqueeze",
    "view",
}
"""Methods whose result shares the memory of the tensor, or may."""

COPIES = {"clone", "flip", "repeat", "repeat_interleave", "roll"}
"""Methods whose result has a memory of its own."""

PARTS = {"chunk", "split", "tensor_split", "unbind"}
"""Methods whose results are several views."""


def images_after(move: Move, shape: torch.Size, device: torch.device) -> int | Literal["mixed"] | None:
    """Along which dimension the images lie after a move: it is tried on the images' numbers.

    Args:
        move: of values (N, ...).
        shape: of these values.
        device: where they are.

    Returns:
        The dimension; None for one image that has no dimension of its own any more; ``"mixed"`` where values of
        several images lie beside each other.
    """
    if len(shape) == 0:
        return "mixed"
    count = shape[0]
    numbers = torch.arange(1, count + 1, device=device)
    after = move(numbers.view(-1, *[1] * (len(shape) - 1)).expand(shape))
    if count == 1:
        return 0 if after.shape[:1] == (1,) else None
    for along, size in enumerate(after.shape):
        if size == count:
            rows = after.movedim(along, 0).reshape(count, -1)
            if bool(((rows == numbers[:, None]) | (rows == 0)).all()):
                return along
    return "mixed"


def is_view(item: object) -> bool:
    """Whether indexing by ``item`` gives a view; by lists and tensors, it copies."""
    parts = item if isinstance(item, tuple) else (item,)
    return all(part is None or part is Ellipsis or isinstance(part, slice | int) for part in parts)
