"""What a part that looks at a network must leave as it was, for all conformance suites."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MadeUpError(Exception):
    """Raised by :class:`Failing`."""


class Failing(nn.Module):
    """A last layer that raises, as a network that runs out of memory would."""

    def forward(self, x: Tensor) -> Tensor:
        """Raises MadeUpError."""
        raise MadeUpError("a made-up error of the network")


@contextmanager
def left_as_it_was(model: nn.Module, *, buffers: bool = True, global_draws: bool = True) -> Iterator[None]:
    """Inside, a part is run; after, everything about the network must be as before, to the last bit.

    Args:
        model: the network.
        buffers: whether buffers count too; else only their kind.
        global_draws: whether torch's global random numbers must not be drawn either.

    Raises:
        AssertionError: something was changed; the message says what.
    """
    modes, layers, flags, tensors = _modes(model), _layers(model), _flags(model), _tensors(model, buffers=buffers)
    draws = torch.random.get_rng_state()
    yield
    assert _layers(model) == layers, "modules were added, removed or exchanged, or hooks left behind"
    assert _modes(model) == modes, "training flags, or how BatchNorm tracks, are not restored"
    assert _flags(model) == flags, "requires_grad flags, or types of parameters, are not restored"
    for name, value in _tensors(model, buffers=buffers).items():
        expected = tensors[name]
        if expected is None:
            assert value is None, f"{name} was left behind"
        else:
            assert value is not None, f"an existing {name} was dropped"
            assert torch.equal(value, expected), f"{name} changed"
    if global_draws:
        assert torch.equal(torch.random.get_rng_state(), draws), "torch's global random numbers were drawn"


@contextmanager
def unsettled(model: nn.Module) -> Iterator[None]:
    """Inside, the network is in the state in which a careless part does most harm: modes of every kind, a frozen
    parameter, a gradient. After, it has its own flags again, and no gradients.
    """
    modules, parameters = list(model.modules()), list(model.parameters())
    modes = [module.training for module in modules]
    flags = [parameter.requires_grad for parameter in parameters]
    model.train()
    # A mixed state, which neither `train()` nor `eval()` afterwards would bring back.
    modules[0].training = next(each for each in modules if not list(each.children())).training = False
    parameters[0].requires_grad_(False)
    parameters[-1].grad = torch.ones_like(parameters[-1])
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        for parameter, flag in zip(parameters, flags, strict=True):
            parameter.requires_grad_(flag).grad = None


def _layers(model: nn.Module) -> list[object]:
    return [
        (name, module, len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks))
        for name, module in model.named_modules()
    ]


def _modes(model: nn.Module) -> list[object]:
    return [
        (module.training, *(getattr(module, flag, None) for flag in ("track_running_stats", "momentum")))
        for module in model.modules()
    ]


def _flags(model: nn.Module) -> list[object]:
    return [(name, parameter.requires_grad, parameter.dtype) for name, parameter in model.named_parameters()]


def _tensors(model: nn.Module, *, buffers: bool) -> dict[str, Tensor | None]:
    """Copies of everything that must stay to the last bit."""
    gradients = {f"{name}.grad": parameter.grad for name, parameter in model.named_parameters()}
    everything = {**dict(model.named_parameters()), **(dict(model.named_buffers()) if buffers else {}), **gradients}
    return {name: None if tensor is None else tensor.detach().clone() for name, tensor in everything.items()}
