"""Modes in which a network is looked at without being changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def batchnorm_statistics_frozen(model: nn.Module) -> Iterator[None]:
    """Inside, forward passes leave every BatchNorm's running statistics as they are, to the last bit.

    In training mode the batch's own statistics still normalise; only the update of running_mean, running_var and
    num_batches_tracked is left out. In evaluation mode nothing changes. Training flags aren't touched.

    Args:
        model: any module; its BatchNorm layers of every dimension are found.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    tracked = [layer.track_running_stats for layer in layers]
    try:
        for layer in layers:
            # In training mode a layer that doesn't track is handed no running statistics; in evaluation mode it uses
            # those it has, whatever the flag says.
            layer.track_running_stats = False
        yield
    finally:
        for layer, flag in zip(layers, tracked, strict=True):
            layer.track_running_stats = flag


@contextmanager
def without_gradients(parameters: Iterable[Tensor]) -> Iterator[None]:
    """Inside, these parameters require no gradient, so that graphs built there neither hold nor compute what is theirs.

    Gradients may be taken of such graphs at any time. After, each parameter has its own flag back.

    Args:
        parameters: leaves.
    """
    flags = [(parameter, parameter.requires_grad) for parameter in parameters]
    try:
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, required in flags:
            parameter.requires_grad_(required)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in evaluation mode; after, every submodule has its own training flag back.

    Differs from ``model.eval()`` … ``model.train()``, which would also wake up submodules that were meant to stay in
    evaluation mode.

    Args:
        model: any module.
    """
    flags = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in flags:
            module.training = training
