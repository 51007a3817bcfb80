"""Networks as programs of ``torch.export``, which run without dsrna and compile ahead of time."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dsrna.export.agreement import checked_difference
from dsrna.files import write_bytes
from dsrna.nn.modes import evaluation_mode


@torch.no_grad()
def write_program(path: Path, network: nn.Module, x: Tensor) -> tuple[float, nn.Module]:
    """Writes the network, as it is in evaluation mode, for any number of images.

    Args:
        path: the file, which ends in ``.pt2``; ``torch.export.load`` and ``model=FILE.pt2`` read it.
        network: on the CPU, maps (N, C, H, W) to logits (N, K).
        x: (N, C, H, W) images in [0, 1] to check on, at least one.

    Returns:
        The largest difference of a logit, and what was written, as a module that computes them.

    Raises:
        UnsupportedError: the program gives other logits than the network, one image at a time or all at once.
    """
    with evaluation_mode(network):
        program = torch.export.export(
            network, (torch.cat([x[:1], x[:1]]),), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
        for node in program.graph.nodes:  # notes with paths of source files on this machine
            node.meta.pop("stack_trace", None)
        module: Any = program.module()
        found = [module(x), torch.cat([module(image[None]) for image in x])]
        difference = checked_difference(network, x, found, "its torch.export program")
    payload = io.BytesIO()
    torch.export.save(program, payload)
    write_bytes(path, payload.getvalue())
    return difference, module
