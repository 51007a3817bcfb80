"""What every robustness metric promises, as one function to call from a test."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dsrna.errors import NonFiniteError
from dsrna.testing.slopes import check_slope
from dsrna.testing.tiny_networks import (
    TinyMixedNetwork,
    linear_network,
    robust_and_fragile,
    smooth_network,
    tiny_images,
)
from dsrna.testing.untouched import Failing, MadeUpError, left_as_it_was, unsettled


class Metric(Protocol):
    """The part of a metric's contract that the suite uses."""

    batch_norm: str
    scale_free: bool
    rewards_ignoring_the_input: bool
    looks_at_images: bool

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator | None = None) -> Tensor: ...
    @property
    def numbers(self) -> dict[str, float]: ...
    def restore(self, numbers: dict[str, float]) -> None: ...
    def advance(self, progress: float) -> None: ...


Network = Callable[[], TinyMixedNetwork]

LinearScore = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(W (K, D), b (K,), images (N, C, H, W), y (N,)) -> (N,) scores of the network f(x) = W x + b, by a formula."""

COPIES = 300
"""How often each image is scored to compare the mean of an estimate with the formula."""
GRADIENT_TOLERANCE = 0.05
"""Relative: central differences of half a step of a metric's own take the second order of their step."""


def check_metric(metric: Metric, on_linear: LinearScore, network: Network = smooth_network) -> None:
    """Runs a metric on tiny networks and checks what the contract says of it.

    One score an image, each its own where it ``looks_at_images``, else the same for any images; that of a reference
    formula on linear networks (an estimate: in the mean); the same generator
    seed gives the same scores and torch's global random numbers aren't drawn; a score doesn't depend on batch mates,
    other than through BatchNorm where ``batch_norm`` is ``"batch"``; the gradient reaches every alpha and is that of
    the scores by finite differences (of their mean, where images share statistics); the same values without a graph
    under ``no_grad`` and ``inference_mode``; modes, flags, running statistics and ``.grad`` as before, after an error
    too; a non-finite score is refused; what it carries from call to call is in ``numbers`` and comes back by
    ``restore``; a robust network scores higher than a fragile one with the same logits, at every image; ``scale_free``
    says whether the scores stay when all logits are multiplied; unless ``rewards_ignoring_the_input`` warns of it, a
    network that ignores its input, wholly or nearly, scores lower in the mean over the classes than one that classifies
    every image with a wide margin.

    Args:
        metric: the metric.
        on_linear: the reference's scores of a linear network; called after the metric has scored it.
        network: builds the network, the same one every time, on which the metric is differentiable as it says.

    Raises:
        AssertionError: the metric breaks the contract; the message says how.
    """
    as_built = copy.deepcopy(metric)
    _check_scores(metric, network)
    _check_untouched(metric, network)
    _check_independence(metric, network)
    _check_gradient(metric, network)
    _check_without_graph(metric, network)
    _check_not_finite(metric, network)
    _check_memory(metric, copy.deepcopy(as_built), network)
    _check_formula(metric, on_linear)
    _check_order(metric)
    _check_scale(metric, network)
    if not metric.rewards_ignoring_the_input:
        _check_ignoring(as_built)


def _check_scores(metric: Metric, network: Network) -> None:
    model, x, y = _setting(network)
    scores = metric(model, x, y, _generator())
    assert scores.shape == (len(x),), f"expected one score an image, {(len(x),)}, got {tuple(scores.shape)}"
    assert scores.dtype == x.dtype, f"expected {x.dtype}, got {scores.dtype}"
    assert torch.equal(scores, metric(model, x, y, _generator())), "two calls with one seed differ"
    if metric.looks_at_images:
        assert scores.unique().numel() > 1, "every image has the same score: unset `looks_at_images`"
    else:
        assert scores.unique().numel() == 1, "it says that it doesn't look at images, but they have scores of their own"


def _check_untouched(metric: Metric, network: Network) -> None:
    model, x, y = _setting(network)
    images = x.clone()
    with unsettled(model), left_as_it_was(model):
        metric(model, x, y, _generator()).sum()
    assert torch.equal(x, images), "the images changed"
    assert not x.requires_grad, "the images were changed to require gradients"
    assert x.grad is None, "the images were given a .grad"
    model, x, y = _setting(network)  # another one, as a metric may remember how to run the one that it knows
    with unsettled(model), left_as_it_was(model):
        try:
            metric(nn.Sequential(model, Failing()), x, y, _generator())
        except MadeUpError:
            return
        raise AssertionError("the metric swallows an error of the network, or doesn't run it")


def _check_independence(metric: Metric, network: Network) -> None:
    model, x, y = _setting(network)
    if metric.batch_norm == "batch":
        model = _without_batch_norm(model)
    scores = metric(model, x, y, _generator())
    moved = metric(model, torch.cat([x[:1], 1 - x[1:]]), y, _generator())
    if not metric.looks_at_images:
        assert torch.equal(moved, scores), "it says that it doesn't look at images, but scores change with them"
        return
    assert torch.allclose(moved[0], scores[0], rtol=1e-9), "a score depends on its batch mates"
    assert not torch.allclose(moved[1:], scores[1:]), "scores don't depend on their images"


def _check_gradient(metric: Metric, network: Network) -> None:
    model, x, y = _setting(network)
    # Other factors than 1 tell a score's gradient from a share of the mean's. Where images share statistics, a metric
    # may give the gradient of the mean alone, which is what a search takes.
    factors = x.new_tensor([1.0, 1.0, 1.0, 1.0] if metric.batch_norm == "batch" else [1.0, -2.0, 3.0, 0.5])

    def total() -> Tensor:
        return (factors * metric(model, x, y, _generator())).sum()

    scores = metric(model, x, y, _generator())
    assert scores.requires_grad, "the scores have no graph although gradients are enabled"
    (gradient,) = torch.autograd.grad(scores.sum(), model.alphas)
    assert bool(gradient.isfinite().all()), "the gradient to the alphas isn't finite"
    assert bool((gradient != 0).all()), "the gradient doesn't reach every alpha"
    weights = [parameter for parameter in model.parameters() if parameter is not model.alphas]
    for name, parameters in (("alphas", [model.alphas]), ("network weights", weights)):
        gradients = torch.autograd.grad(total(), parameters, allow_unused=True, materialize_grads=True)
        check_slope(gradients, parameters, total, what=f"the gradient to the {name}", tolerance=GRADIENT_TOLERANCE)


def _check_without_graph(metric: Metric, network: Network) -> None:
    model, x, y = _setting(network)
    scores = metric(model, x, y, _generator())
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            plain = metric(model, x.clone(), y.clone(), _generator())
        assert not plain.requires_grad, f"the scores have a graph under {context.__name__}"
        assert torch.allclose(plain, scores.detach(), rtol=1e-9), f"the scores differ under {context.__name__}"


def _check_not_finite(metric: Metric, network: Network) -> None:
    model, x, y = _setting(network)
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    try:
        metric(model, x, y, _generator())
    except NonFiniteError:
        return
    raise AssertionError("a network of NaN weights gets scores instead of a NonFiniteError")


def _check_memory(metric: Metric, restored: Metric, network: Network) -> None:
    """What an interrupted search gives back makes another metric go on as this one does."""
    model, x, y = _setting(network)
    metric(model, x, y, _generator())
    numbers = metric.numbers
    wrong = {name: number for name, number in numbers.items() if not (type(number) is float and math.isfinite(number))}
    assert not wrong, f"expected finite floats as `numbers`, got {wrong}"
    restored.restore(dict(numbers))
    for each in (metric, restored):
        each.advance(0.5)
    scores = metric(model, 1 - x, y, _generator())
    assert torch.equal(scores, metric(model, 1 - x, y, _generator())), "scores change from call to call"
    assert torch.equal(scores, restored(model, 1 - x, y, _generator())), (
        "a metric that got `numbers` back by `restore` doesn't go on as the one that gave them"
    )


def _check_formula(metric: Metric, on_linear: LinearScore) -> None:
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(3, 72, generator=draw, dtype=torch.float64)
    bias = torch.randn(3, generator=draw, dtype=torch.float64)
    x, y = 0.25 + 0.5 * tiny_images(), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        scores = metric(
            linear_network(weight, bias), x.repeat_interleave(COPIES, 0), y.repeat_interleave(COPIES), _generator()
        ).view(len(x), COPIES)
    expected = on_linear(weight, bias, x, y)
    allowed = 5 * scores.std(dim=1) / math.sqrt(COPIES) + 1e-3 * expected.abs()
    assert bool(((scores.mean(dim=1) - expected).abs() <= allowed).all()), (
        f"on a linear network the formula gives {expected.tolist()}, the metric {scores.mean(dim=1).tolist()}"
    )


def _check_order(metric: Metric) -> None:
    x = tiny_images()
    robust, fragile = robust_and_fragile(x)
    y = robust(x).argmax(1)
    assert torch.allclose(robust(x), fragile(x), atol=1e-6)
    scores, lower = (metric(model, x, y, _generator()) for model in (robust, fragile))
    assert bool((scores > lower).all()), "a fragile network scores higher than a robust one with the same logits"


def _check_scale(metric: Metric, network: Network) -> None:
    model, x, y = _setting(network)
    with torch.no_grad():
        before = metric(model, x, y, _generator())
        stays = True
        for factor in (7.0, 0.01):
            for parameter in (model.classifier.weight, model.classifier.bias):
                parameter *= factor
            stays = stays and torch.allclose(metric(model, x, y, _generator()), before, rtol=1e-6)
    assert stays or not metric.scale_free, "it says `scale_free`, but its scores change when all logits are multiplied"
    assert metric.scale_free or not stays, "its scores stay when all logits are multiplied: set `scale_free`"


@torch.no_grad()
def _check_ignoring(metric: Metric) -> None:
    draw = torch.Generator().manual_seed(4)
    patterns = torch.rand(3, 72, generator=draw, dtype=torch.float64).round() - 0.5
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    x = (0.5 + 0.8 * patterns[y] + 0.02 * torch.randn(6, 72, generator=draw, dtype=torch.float64)).view(6, 2, 6, 6)
    weight = 0.3 * patterns
    right = linear_network(weight, -0.5 * weight.sum(1))
    assert bool((right(x).argmax(1) == y).all())
    score = metric(right, x, y, _generator()).mean().item()
    highest = max(
        metric(linear_network(share * weight, torch.tensor(bias)), x, y, _generator()).mean().item()
        # At 0 some quotients are 0 / 0, which a metric may treat as a case of its own.
        for share, bias in ((0.0, [0.0, 0.0, 0.0]), (0.0, [5.0, 0.0, 0.0]), (1e-3, [5.0, 0.0, 0.0]))
    )
    assert highest < score, (
        f"a network that ignores its input scores {highest:.4g} in the mean over the classes, one that classifies all "
        f"of them with wide margins {score:.4g}: mend the metric, or let it say `rewards_ignoring_the_input`"
    )


def _without_batch_norm(model: TinyMixedNetwork) -> TinyMixedNetwork:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(parent, name, nn.Identity())
    return model


def _setting(network: Network) -> tuple[TinyMixedNetwork, Tensor, Tensor]:
    model, x = network(), tiny_images()
    with torch.no_grad():
        y = model.eval()(x).argmax(1)
    y[-1] = (y[-1] + 1) % 3  # one image is misclassified
    return model.train(), x, y


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
