"""BatchNorm statistics of one batch, noted in one forward pass and used in others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

BatchStatistics = dict[_BatchNorm, tuple[Tensor, Tensor]]
"""Layer -> mean and (biased) variance of its channels over a batch."""


@contextmanager
def noting_batch_statistics(model: nn.Module) -> Iterator[BatchStatistics]:
    """Inside, forward passes in training mode note what each BatchNorm normalises by; the last one counts.

    The noted statistics are differentiable in the weights. Layers in evaluation mode are left out.

    Args:
        model: any module.
    """
    noted: BatchStatistics = {}

    def note(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(layer, _BatchNorm)
        if layer.training:
            rest = [dim for dim in range(inputs[0].ndim) if dim != 1]
            noted[layer] = (inputs[0].mean(dim=rest), inputs[0].var(dim=rest, unbiased=False))

    handles = [module.register_forward_pre_hook(note) for module in model.modules() if isinstance(module, _BatchNorm)]
    try:
        yield noted
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def normalising_by(statistics: BatchStatistics) -> Iterator[None]:
    """Inside, these layers normalise by the given statistics in evaluation mode; their own come back after.

    Args:
        statistics: what :func:`noting_batch_statistics` gave.
    """
    own = {layer: (layer.running_mean, layer.running_var) for layer in statistics}
    try:
        for layer, (mean, variance) in statistics.items():
            layer.running_mean, layer.running_var = mean, variance
        yield
    finally:
        for layer, (running_mean, running_var) in own.items():
            layer.running_mean, layer.running_var = running_mean, running_var
