"""What every zero-cost proxy promises, as one function to call from a test."""

from __future__ import annotations

import contextlib
from typing import Protocol

import torch
from torch import Tensor, nn

from dsrna.errors import NonFiniteError


class Proxy(Protocol):
    """The part of a proxy's contract that the suite uses."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None = None) -> float: ...


def check_proxy(proxy: Proxy, model: nn.Module, x: Tensor, y: Tensor, reads_weights: bool = True) -> None:
    """Runs a proxy on a network and checks what the contract says of it.

    A finite float; the same generator seed gives the same score and torch's global random numbers aren't touched; the
    same score whatever the network's modes and flags, under ``no_grad`` and ``inference_mode`` too; weights, buffers,
    modes, flags and ``.grad`` as before to the last bit, after an error too; a score that isn't finite is refused.

    Whether the score is the right one depends on the proxy and is not checked here.

    Args:
        proxy: the proxy.
        model: a network with BatchNorm that it takes; it is as before afterwards.
        x: (N, C, H, W) images in [0, 1] of at least two classes.
        y: (N,) classes.
        reads_weights: False for proxies that draw weights of their own, or only count.

    Raises:
        AssertionError: the proxy breaks the contract; the message says how.
    """
    expected = _check_score(proxy, model, x, y)
    _check_any_state(proxy, model, x, y, expected)
    _check_untouched(proxy, model, x, y)
    if reads_weights:
        _check_not_finite(proxy, model, x, y)


def _check_score(proxy: Proxy, model: nn.Module, x: Tensor, y: Tensor) -> float:
    before = torch.random.get_rng_state()
    score = proxy(model, x, y, _generator())
    assert torch.equal(torch.random.get_rng_state(), before), "the proxy draws from torch's global random numbers"
    assert type(score) is float, f"expected a float, got {type(score).__name__}"
    assert abs(score) < float("inf"), f"expected a finite score, got {score}"
    assert proxy(model, x, y, _generator()) == score, "two calls with one seed differ"
    return score


def _check_any_state(proxy: Proxy, model: nn.Module, x: Tensor, y: Tensor, expected: float) -> None:
    state = [module.training for module in model.modules()]
    for training in (True, False):
        model.train(training)
        assert proxy(model, x, y, _generator()) == expected, f"another score with training = {training}"
    for module, training in zip(model.modules(), state, strict=True):
        module.training = training
    model.requires_grad_(False)
    try:
        assert proxy(model, x, y, _generator()) == expected, "another score where no parameter requires a gradient"
    finally:
        model.requires_grad_(True)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            found = proxy(model, x.clone(), y.clone(), _generator())
        assert found == expected, f"another score under {context.__name__}"


def _check_untouched(proxy: Proxy, model: nn.Module, x: Tensor, y: Tensor) -> None:
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    parameters[-1].grad = torch.ones_like(parameters[-1])
    next(module for module in model.modules() if isinstance(module, nn.Conv2d)).eval()
    tensors, flags, images = _tensors(model), _flags(model), x.clone()
    try:
        proxy(model, x, y, _generator())
        _check_same(model, flags, tensors)
        assert torch.equal(x, images), "the images changed"
        assert not x.requires_grad, "the images were changed to require gradients"
        failing = nn.Sequential(model, _Failing())
        with contextlib.suppress(Exception):  # a proxy that runs no forward pass raises none
            proxy(failing, x, y, _generator())
        _check_same(model, flags, tensors)
    finally:
        parameters[0].requires_grad_(True)
        parameters[-1].grad = None


def _check_same(model: nn.Module, flags: list[object], tensors: dict[str, Tensor | None]) -> None:
    assert _flags(model) == flags, "modules, training, tracking or requires_grad flags, or hooks are not as before"
    for name, value in _tensors(model).items():
        expected = tensors[name]
        same = value is expected if value is None or expected is None else torch.equal(value, expected)
        assert same, f"{name} changed"


def _flags(model: nn.Module) -> list[object]:
    modules = [
        (
            name,
            type(module),
            module.training,
            getattr(module, "track_running_stats", None),
            len(module._forward_hooks) + len(module._forward_pre_hooks),
        )
        for name, module in model.named_modules()
    ]
    return [modules, [(parameter.requires_grad, parameter.dtype) for parameter in model.parameters()]]


def _tensors(model: nn.Module) -> dict[str, Tensor | None]:
    """Copies of everything that must stay to the last bit."""
    gradients = {f"{name}.grad": parameter.grad for name, parameter in model.named_parameters()}
    everything = {**model.state_dict(), **gradients}
    return {name: None if tensor is None else tensor.clone() for name, tensor in everything.items()}


def _check_not_finite(proxy: Proxy, model: nn.Module, x: Tensor, y: Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
    try:
        proxy(model, x, y, _generator())
    except NonFiniteError:
        return
    finally:
        model.load_state_dict(before)
    raise AssertionError("a network of NaN weights gets a score instead of a NonFiniteError")


class _Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ZeroDivisionError("a made-up error of the network")


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
