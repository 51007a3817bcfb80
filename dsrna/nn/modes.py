"""Modes in which a network is looked at without being changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrna.errors import ConfigError

BatchNormMode = Literal["running", "batch"]
"""Whether BatchNorm normalises by its running statistics or by those of the batch that it sees."""


@contextmanager
def batchnorm_statistics_frozen(model: nn.Module) -> Iterator[None]:
    """Inside, forward passes leave every BatchNorm's running statistics as they are, to the last bit.

    In training mode the batch's own statistics still normalise; only the update of running_mean, running_var and
    num_batches_tracked is left out. In evaluation mode nothing changes. Training flags aren't touched.

    Args:
        model: any module; its BatchNorm layers of every dimension are found.
    """
    # In training mode a layer that doesn't track is handed no running statistics; in evaluation mode it uses those it
    # has, whatever the flag says.
    with _set([module for module in submodules(model) if isinstance(module, _BatchNorm)], "track_running_stats"):
        yield


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
    with _set(submodules(model), "training"):
        yield


@contextmanager
def normalising(model: nn.Module, batch_norm: BatchNormMode) -> Iterator[None]:
    """Inside, the model is in evaluation mode but for its BatchNorm, which normalises as is said; after, as before.

    Either way the running statistics stay as they are, to the last bit.

    Args:
        model: any module.
        batch_norm: by which statistics.
    """
    with evaluation_mode(model):
        if batch_norm == "running":
            yield
            return
        with batchnorm_statistics_frozen(model):
            for module in submodules(model):
                if isinstance(module, _BatchNorm):
                    module.train()
            yield


def check_batch_norm(batch_norm: str) -> None:
    """Refuses what is no mode of BatchNorm.

    Raises:
        ConfigError: names the setting.
    """
    if batch_norm not in get_args(BatchNormMode):
        raise ConfigError(f"Expected `batch_norm` to be 'running' or 'batch', got {batch_norm!r}. (conf: batch_norm)")


def submodules(model: nn.Module) -> list[nn.Module]:
    """The model and every module in it, once: ``model.modules()``, several times as fast on thousands of them."""
    found = {model: None}
    pending = [model]
    while pending:
        for child in pending.pop()._modules.values():
            if child is not None and child not in found:
                found[child] = None
                pending.append(child)
    return list(found)


def parameters_of(model: nn.Module) -> list[nn.Parameter]:
    """Every parameter, once per module that has it: ``model.parameters()``, faster as :func:`submodules` is."""
    return [p for module in submodules(model) for p in module._parameters.values() if p is not None]


@contextmanager
def _set(modules: Sequence[nn.Module], flag: str) -> Iterator[None]:
    """Inside, a flag is off on these modules; after, each has its own again."""
    before = [getattr(module, flag) for module in modules]
    try:
        for module in modules:
            _assign(module, flag, False)
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            _assign(module, flag, value)


def _assign(module: nn.Module, flag: str, value: bool) -> None:
    # A module's own way of setting attributes looks for parameters first: too slow for thousands of modules a step. A
    # wrapper, which hands the flag on to another module, has none of its own.
    if flag in module.__dict__:
        object.__setattr__(module, flag, value)
    else:
        setattr(module, flag, value)
