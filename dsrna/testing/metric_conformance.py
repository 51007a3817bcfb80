"""What every robustness metric promises, as one function to call from a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from dsrna.errors import NonFiniteError
from dsrna.testing.tiny_networks import TinyMixedNetwork, robust_and_fragile, tiny_images


class Metric(Protocol):
    """The part of a metric's contract that the suite uses."""

    needs_input_gradient: bool
    needs_double_backward: bool
    batch_norm: str

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None = None) -> Tensor: ...


Network = Callable[[], TinyMixedNetwork]


def check_metric(metric: Metric, network: Network = TinyMixedNetwork) -> None:
    """Runs a metric on tiny networks and checks what the contract says of it.

    One score an image; the same generator seed gives the same scores and torch's global random numbers aren't touched;
    with running statistics a score doesn't depend on batch mates; the gradient reaches every alpha; the same values
    without a graph under ``no_grad`` and ``inference_mode``; modes, flags, running statistics and ``.grad`` as before,
    after an error too; a non-finite score is refused; a robust network scores higher than a fragile one with the same
    logits, at every image.

    Whether the gradient is the right one depends on the metric and is not checked here.

    Args:
        metric: the metric.
        network: builds the network, the same one every time.

    Raises:
        AssertionError: the metric breaks the contract; the message says how.
    """
    _check_scores(metric, network)
    if metric.batch_norm == "running":
        _check_independence(metric, network)
    _check_gradient(metric, network)
    _check_without_graph(metric, network)
    _check_untouched(metric, network)
    _check_not_finite(metric, network)
    _check_order(metric)


def _check_scores(metric: Metric, network: Network) -> None:
    model, x, y = _setting(network)
    before = torch.random.get_rng_state()
    scores = metric(model, x, y, _generator())
    assert torch.equal(torch.random.get_rng_state(), before), "the metric draws from torch's global random numbers"
    assert scores.shape == (len(x),), f"expected one score an image, {(len(x),)}, got {tuple(scores.shape)}"
    assert scores.dtype == x.dtype, f"expected {x.dtype}, got {scores.dtype}"
    assert torch.equal(scores, metric(model, x, y, _generator())), "two calls with one seed differ"
    assert scores.unique().numel() > 1, "every image has the same score"


def _check_independence(metric: Metric, network: Network) -> None:
    model, x, y = _setting(network)
    scores = metric(model, x, y, _generator())
    mates = torch.cat([x[:1], 1 - x[1:]])
    moved = metric(model, mates, y, _generator())
    assert torch.allclose(moved[0], scores[0], rtol=1e-9), "a score depends on its batch mates"
    assert not torch.allclose(moved[1:], scores[1:]), "scores don't depend on their images"


def _check_gradient(metric: Metric, network: Network) -> None:
    model, x, y = _setting(network)
    (gradient,) = torch.autograd.grad(metric(model, x, y, _generator()).mean(), model.alphas)
    assert bool(gradient.isfinite().all()), "the gradient to the alphas isn't finite"
    assert bool((gradient != 0).all()), "the gradient doesn't reach every alpha"


def _check_without_graph(metric: Metric, network: Network) -> None:
    model, x, y = _setting(network)
    scores = metric(model, x, y, _generator())
    assert scores.requires_grad, "the scores have no graph although gradients are enabled"
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            plain = metric(model, x.clone(), y.clone(), _generator())
        assert not plain.requires_grad, f"the scores have a graph under {context.__name__}"
        assert torch.allclose(plain, scores.detach(), rtol=1e-9), f"the scores differ under {context.__name__}"


def _check_untouched(metric: Metric, network: Network) -> None:
    model, x, y = _prepared(network)
    flags, tensors = _flags(model), _tensors(model)
    metric(model, x, y, _generator()).sum()
    _check_same(model, flags, tensors)
    model, x, y = _prepared(network)  # another one, as a metric may remember how to run the one that it knows
    model.dropout.register_forward_hook(_fail)
    try:
        metric(model, x, y, _generator())
    except ZeroDivisionError:
        _check_same(model, flags, tensors)
    else:
        raise AssertionError("the metric swallows an error of the network, or doesn't run it")
    assert not x.requires_grad, "the images were changed to require gradients"
    assert x.grad is None, "the images were given a .grad"


def _prepared(network: Network) -> tuple[TinyMixedNetwork, Tensor, Tensor]:
    """With flags and a gradient that a careless metric would change."""
    model, x, y = _setting(network)
    model.stem.eval()  # a mixed state, which `train()` afterwards would not bring back
    model.classifier.bias.requires_grad_(False)
    model.classifier.weight.grad = torch.ones_like(model.classifier.weight)
    return model, x, y


def _check_same(model: nn.Module, flags: list[object], tensors: dict[str, Tensor | None]) -> None:
    assert _flags(model) == flags, "training, tracking or requires_grad flags are not restored"
    for name, value in _tensors(model).items():
        expected = tensors[name]
        same = value is expected if value is None or expected is None else torch.equal(value, expected)
        assert same, f"{name} changed"


def _flags(model: nn.Module) -> list[object]:
    modes = [(module.training, getattr(module, "track_running_stats", None)) for module in model.modules()]
    return [modes, [parameter.requires_grad for parameter in model.parameters()]]


def _tensors(model: nn.Module) -> dict[str, Tensor | None]:
    """Copies of everything that must stay to the last bit."""
    gradients = {f"{name}.grad": parameter.grad for name, parameter in model.named_parameters()}
    everything = {**model.state_dict(), **gradients}
    return {name: None if tensor is None else tensor.clone() for name, tensor in everything.items()}


def _check_not_finite(metric: Metric, network: Network) -> None:
    model, x, y = _setting(network)
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    try:
        metric(model, x, y, _generator())
    except NonFiniteError:
        return
    raise AssertionError("a network of NaN weights gets scores instead of a NonFiniteError")


def _check_order(metric: Metric) -> None:
    x = tiny_images()
    y = torch.tensor([0, 1, 2, 0])
    robust, fragile = robust_and_fragile(x)
    assert torch.allclose(robust(x), fragile(x), atol=1e-6)
    scores, lower = (metric(model, x, y, _generator()) for model in (robust, fragile))
    assert bool((scores > lower).all()), "a fragile network scores higher than a robust one with the same logits"


def _fail(*_: object) -> None:
    raise ZeroDivisionError("a made-up error of the network")


def _setting(network: Network) -> tuple[TinyMixedNetwork, Tensor, Tensor]:
    return network(), tiny_images(), torch.tensor([0, 1, 2, 0])


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
