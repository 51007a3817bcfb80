"""A network held still while it is attacked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from dsrna.nn.modes import evaluation_mode, without_gradients


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without weight gradients; the training flag of every submodule comes back on exit.

    Inside, BatchNorm uses and keeps its running statistics, dropout and drop-path are off, no parameter requires a
    gradient (so a backward pass is spent on the images alone and leaves every ``.grad`` as it was), and gradients to
    images can be taken, even when the caller is in ``no_grad`` or ``inference_mode``. On exit, by an error too, each
    module's ``training`` and each parameter's ``requires_grad`` are what they were, one by one.
    """
    still = without_gradients(model.parameters())
    with evaluation_mode(model), still, torch.inference_mode(False), torch.enable_grad():
        yield
