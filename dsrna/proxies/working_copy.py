"""Copies of a network that a proxy may do anything with."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

BatchNormUse = Literal["batch", "calibrated", "removed"]


def working_copy(model: nn.Module, batch_norm: BatchNormUse, x: Tensor) -> nn.Module:
    """A copy without gradients, in which all parameters require one; dropout and drop-path are off.

    Args:
        model: any module; it isn't touched.
        batch_norm: ``"batch"`` normalises with the statistics of the images that are passed on, as in training;
            ``"calibrated"`` with those of ``x``, held constant, so that an image's logits don't depend on its batch
            mates; ``"removed"`` takes BatchNorm out.
        x: (N, C, H, W) images to calibrate on.
    """
    copied = copy.deepcopy(model).eval()
    for parameter in copied.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    if batch_norm == "removed":
        remove_batch_norm(copied)
        return copied
    layers = [module for module in copied.modules() if isinstance(module, _BatchNorm)]
    for layer in layers:
        layer.train()
    if batch_norm == "calibrated" and layers:
        _calibrate(copied, layers, x)
    return copied


def remove_batch_norm(module: nn.Module, keep: type[nn.Module] | None = None) -> None:
    """Replaces every BatchNorm below ``module`` by the identity, save inside modules of the type ``keep``."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, nn.Identity())
        elif keep is None or not isinstance(child, keep):
            remove_batch_norm(child, keep)


def _calibrate(model: nn.Module, layers: list[_BatchNorm], x: Tensor) -> None:
    """Makes the statistics of ``x`` the running statistics of every layer, and normalises with these."""
    for layer in layers:
        layer.track_running_stats = False  # else the pass itself would move what the hook notes
        layer.register_buffer("running_mean", None)
        layer.register_buffer("running_var", None)
    handles = [layer.register_forward_pre_hook(_note_statistics) for layer in layers]
    with torch.no_grad():
        model(x)
    for handle, layer in zip(handles, layers, strict=True):
        handle.remove()
        layer.track_running_stats = True
        layer.eval()


def _note_statistics(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    # The same biased variance by which training mode divides; `momentum=1` would store the unbiased one.
    values = inputs[0].transpose(0, 1).flatten(1)
    layer.running_mean = values.mean(dim=1)
    layer.running_var = values.var(dim=1, correction=0)
