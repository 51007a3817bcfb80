"""Whether what runs a network elsewhere gives its logits."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from dsrna.errors import UnsupportedError

TOLERANCE = 1e-4
"""Largest difference of logits from torch's, relative to the largest logit."""
ROUNDING = 100
"""The same, relative to the rounding error of torch's own logits, which counts where large values cancel."""


@torch.no_grad()
def checked_difference(network: nn.Module, x: Tensor, found: Sequence[Tensor], where: str) -> float:
    """The largest difference of logits from the network's.

    Args:
        network: in evaluation mode, on the CPU.
        x: images (N, C, H, W).
        found: logits (N, K) of the same images, by each way to run it.
        where: what gave them, in words.

    Raises:
        UnsupportedError: they are others than the network's.
    """
    expected = network(x)
    rounding = (deepcopy(network).double()(x.double()) - expected).abs().max().item()
    difference = max((logits - expected).abs().max().item() for logits in found)
    if not difference <= TOLERANCE * expected.abs().max().item() + ROUNDING * rounding:
        raise UnsupportedError(
            f"Expected the network's logits from {where}, got a difference of {difference:.3g}. "
            "No file was written; other versions of torch, onnxscript or onnxruntime may do better."
        )
    return float(difference)
