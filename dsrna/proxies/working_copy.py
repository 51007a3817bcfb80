"""Copies of a network that a proxy may do anything with."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

_UNCHANGING = {bool, int, float, str, type(None)}
_CONTAINERS = {dict, OrderedDict, set}

BatchNormUse = Literal["batch", "calibrated", "removed"]


def working_copy(model: nn.Module, batch_norm: BatchNormUse) -> nn.Module:
    """A copy without gradients, in which all parameters require one; dropout and drop-path are off.

    Args:
        model: any module; it isn't touched.
        batch_norm: ``"batch"`` normalises with the statistics of the images that are passed on, as in training;
            ``"calibrated"`` with those of the images that are passed on first, held constant in that pass already, so
            that an image's logits don't depend on its batch mates; ``"removed"`` takes BatchNorm out.
    """
    owned = copied(model).eval()
    for parameter in owned.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    if batch_norm == "removed":
        remove_batch_norm(owned)
        return owned
    for layer in owned.modules():
        if isinstance(layer, _BatchNorm):
            if batch_norm == "batch":
                layer.train()
            else:
                _calibrate_in_the_first_pass(layer)
    return owned


def copied(model: nn.Module) -> nn.Module:
    """What :func:`copy.deepcopy` gives, in a fraction of its time, which is a good part of a forward and backward pass.

    Most of what a module holds can't change or is empty; only the rest needs deepcopy's care.
    """
    modules = list(model.modules())
    if any(hasattr(type(module), "__deepcopy__") for module in modules):
        return copy.deepcopy(model)
    copies = {id(module): object.__new__(type(module)) for module in modules}
    memo: dict[int, Any] = dict(copies)
    for module in modules:
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if type(tensor) is nn.Parameter and not vars(tensor):
                memo[id(tensor)] = nn.Parameter(tensor.detach().clone(), tensor.requires_grad)
            elif type(tensor) is Tensor and tensor.is_leaf and not vars(tensor):
                memo[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
    for module in modules:
        vars(copies[id(module)]).update({name: _copied_value(value, memo) for name, value in vars(module).items()})
    return copies[id(model)]


def _copied_value(value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in _UNCHANGING:
        return value
    if kind in _CONTAINERS and not value:
        return kind()
    if kind is dict:  # parameters, buffers, modules
        return {name: copy.deepcopy(entry, memo) for name, entry in value.items()}
    return copy.deepcopy(value, memo)


def remove_batch_norm(module: nn.Module, keep: type[nn.Module] | None = None) -> None:
    """Replaces every BatchNorm below ``module`` by the identity, save inside modules of the type ``keep``."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, nn.Identity())
        elif keep is None or not isinstance(child, keep):
            remove_batch_norm(child, keep)


def _calibrate_in_the_first_pass(layer: _BatchNorm) -> None:
    """Makes the layer's next input give the running statistics, with which that input is normalised already."""
    layer.track_running_stats = True
    layer.register_buffer("running_mean", None)
    layer.register_buffer("running_var", None)

    def calibrate(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].detach()
        mean, variance = values.new_zeros(2, values.shape[1])
        F.batch_norm(values, mean, variance, training=True, momentum=1.0)  # several times faster than `var_mean`
        count = values.numel() // values.shape[1]
        # That is the unbiased variance; training mode divides by the biased one.
        layer.running_mean, layer.running_var = mean, variance * ((count - 1) / count)
        handle.remove()

    handle = layer.register_forward_pre_hook(calibrate)
