"""A digest of what a checkpoint holds, by which a damaged or edited one is known."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor


def digest_of(content: Any) -> str:
    """SHA-256 of nested tensors and plain values, in hexadecimal.

    It depends on values, types, shapes and order alone: not on the device, the memory layout, or how a file packs
    them. Costs one pass over the bytes (SHA-256 because processors have instructions for it).

    Raises:
        TypeError: something in it is neither.
    """
    found = hashlib.sha256()
    _add(found, content)
    return found.hexdigest()


def _add(found: hashlib._Hash, value: Any) -> None:
    if isinstance(value, Tensor):
        bare = value.detach().cpu().contiguous()
        found.update(f"tensor {bare.dtype} {tuple(bare.shape)}:".encode())
        found.update(bare.reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, dict):
        found.update(f"dict {len(value)}:".encode())
        for key, item in value.items():
            _add(found, key)
            _add(found, item)
    elif isinstance(value, list | tuple):
        found.update(f"{'list' if isinstance(value, list) else 'tuple'} {len(value)}:".encode())
        for item in value:
            _add(found, item)
    elif isinstance(value, str | bytes):
        payload = value.encode() if isinstance(value, str) else value
        found.update(f"{type(value).__name__} {len(payload)}:".encode() + payload)
    elif value is None or isinstance(value, bool | int | float | complex | torch.dtype | torch.device):
        found.update(f"{type(value).__name__} {value!r};".encode())
    else:
        raise TypeError(f"Expected tensors and plain values in a checkpoint, got {type(value).__name__}.")
