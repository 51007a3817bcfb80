"""A network held still while it is attacked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from dsrna.nn.modes import BatchNormMode, normalising, without_gradients


@contextmanager
def frozen(model: nn.Module, batch_norm: BatchNormMode = "running") -> Iterator[None]:
    """Evaluation mode without weight gradients; the training flag of every submodule comes back on exit.

    Inside, BatchNorm keeps its running statistics, and uses them or, with ``batch_norm="batch"``, those of the batch
    that it sees; dropout and drop-path are off, no parameter requires a gradient (so a backward pass is spent on the
    images alone and leaves every ``.grad`` as it was), and gradients to images can be taken, even when the caller is
    in ``no_grad`` or ``inference_mode``. On exit, by an error too, each module's ``training`` and each parameter's
    ``requires_grad`` are what they were, one by one.
    """
    still = without_gradients(model.parameters())
    with normalising(model, batch_norm), still, torch.inference_mode(False), torch.enable_grad():
        yield
