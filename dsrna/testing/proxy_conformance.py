"""What every zero-cost proxy promises, as one function to call from a test."""

from __future__ import annotations

import contextlib
import copy
from typing import Protocol

import torch
from torch import Tensor, nn

from dsrna.errors import NonFiniteError, UnsupportedError
from dsrna.testing.untouched import Failing, MadeUpError, left_as_it_was, unsettled


class Proxy(Protocol):
    """The part of a proxy's contract that the suite uses."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None = None) -> float: ...


def check_proxy(proxy: Proxy, model: nn.Module, x: Tensor, y: Tensor, reads_weights: bool = True) -> None:
    """Runs a proxy on a network and checks what the contract says of it.

    A finite float; the same generator seed gives the same score, whatever was scored in between, and torch's global
    random numbers aren't drawn; the same score whatever the network's modes and flags, under ``no_grad`` and
    ``inference_mode`` too; another score for other weights; images, weights, buffers, modes, flags, hooks and ``.grad``
    as before to the last bit, after an error too; a score that isn't finite is refused.

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
    _check_untouched(proxy, model, x, y)
    _check_any_state(proxy, model, x, y, expected)
    if reads_weights:
        _check_other_weights(proxy, model, x, y, expected)
        _check_not_finite(proxy, model, x, y)


def _check_score(proxy: Proxy, model: nn.Module, x: Tensor, y: Tensor) -> float:
    score = proxy(model, x, y, _generator())
    assert type(score) is float, f"expected a float, got {type(score).__name__}"
    assert abs(score) < float("inf"), f"expected a finite score, got {score}"
    assert proxy(model, x, y, _generator()) == score, "two calls with one seed differ"
    return score


def _check_untouched(proxy: Proxy, model: nn.Module, x: Tensor, y: Tensor) -> None:
    images = x.clone()
    with unsettled(model), left_as_it_was(model):
        proxy(model, x, y, _generator())
        assert torch.equal(x, images), "the images changed"
        assert not x.requires_grad, "the images were changed to require gradients"
        assert x.grad is None, "the images were given a .grad"
    with unsettled(model), left_as_it_was(model), contextlib.suppress(MadeUpError, UnsupportedError):
        proxy(nn.Sequential(model, Failing()), x, y, _generator())


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


def _check_other_weights(proxy: Proxy, model: nn.Module, x: Tensor, y: Tensor, expected: float) -> None:
    other = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype), alpha=0.1)
    assert proxy(other, x, y, _generator()) != expected, "another network of the same size has the same score"
    assert proxy(model, x, y, _generator()) == expected, "the score depends on what was scored before"


def _check_not_finite(proxy: Proxy, model: nn.Module, x: Tensor, y: Tensor) -> None:
    broken = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in broken.parameters():
            parameter.fill_(float("nan"))
    try:
        proxy(broken, x, y, _generator())
    except NonFiniteError:
        return
    raise AssertionError("a network of NaN weights gets a score instead of a NonFiniteError")


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
