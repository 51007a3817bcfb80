"""What every training loss promises, as one function to call from a test."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.errors import NonFiniteError
from dsrna.functional.margins import margin
from dsrna.testing.objective_setting import Objective, Outputs, generator, lengths, setting
from dsrna.testing.objective_training_conformance import ROUNDING, check_carried, check_certified, check_start
from dsrna.testing.slopes import check_slope
from dsrna.testing.untouched import Failing, MadeUpError, left_as_it_was, unsettled
from dsrna.types import Norm, Threat

THREATS: tuple[tuple[Norm, float], ...] = (("linf", 0.1), ("l2", 0.3))
PROGRESS = (0.0, 0.3, 0.999)
"""Of the training: at its start, on the way, at its end."""


def check_objective(build: Callable[[Threat], Objective], goal: Literal["margin", "divergence"] = "margin") -> None:
    """Runs a training loss on tiny networks and checks what the contract says of it, at several times of the training.

    A finite scalar, in a ball of radius 0 the mean of what it is on single images, smaller for classes that the network
    gives than for others; its gradient reaches every weight and is that of the loss by finite differences, the
    adversarial images held fixed; logits are those of the inputs, and these lie in the ball, in [0, 1], and are not
    easier than the clean images; the same generator seed gives the same loss and torch's global random numbers aren't
    drawn; BatchNorm's running statistics follow the images of the loss alone, in their order; at the start an auxiliary
    head adds ``auxiliary_weight`` times its smoothed cross-entropy; modes, flags, weights and ``.grad`` as before,
    after an error too; weights of NaN give no finite loss; ``initialise`` leaves finite weights, the same under a seed;
    what is certified withstands an attack, and at radius 0 is what is correct; what is carried from weight step to
    weight step goes uphill, stays in the ball, serves smaller batches, and comes back with its state.

    Args:
        build: makes the objective for a threat.
        goal: what its attack is after, see :func:`~dsrna.testing.attack_conformance.check_attack`; margins may rise
            where it is divergence.

    Raises:
        AssertionError: the objective breaks the contract; the message says how.
    """
    for norm, eps in THREATS:
        objective, still = build(Threat(norm, eps)), build(Threat(norm, 0.0))
        for progress in PROGRESS:
            objective.advance(progress)
            still.advance(progress)
            try:
                _check_untouched(objective)
                _check_result(objective, norm, eps, goal)
                _check_mean(still)
                _check_gradient(objective)
                _check_statistics(objective)
                if progress == 0:
                    _check_auxiliary(objective)
                _check_not_finite(objective)
            except AssertionError as error:
                raise AssertionError(f"{norm}, progress {progress:g}: {error}") from error
        check_start(objective)
        check_certified(objective, still, norm, eps)
        check_carried(build(Threat(norm, eps)), build(Threat(norm, eps)), norm, eps)


def _check_untouched(objective: Objective) -> None:
    model, x, y = setting()
    model.eval()  # so that no statistics move, and dropout draws nothing
    images = x.clone()
    with unsettled(model):
        model.eval()[0].train()
        with left_as_it_was(model):
            result = objective(model, x, y, generator())
        with left_as_it_was(model):
            try:
                objective(nn.Sequential(model, Failing()), x, y, generator())
            except MadeUpError:
                pass
            else:
                raise AssertionError("the objective swallows an error of the network, or doesn't run it")
    assert torch.equal(x, images), "the images changed"
    assert not x.requires_grad, "the images were changed to require gradients"
    assert not result.inputs.requires_grad, "the inputs are not detached"
    model.train()
    with left_as_it_was(model, buffers=False, global_draws=False):  # in training, what the loss's own passes move
        objective(model, x, y, generator())
    title = objective.title
    assert title.split("\n") == [title.strip() or None], f"expected a title of one line, got {title!r}"


def _check_result(objective: Objective, norm: Norm, eps: float, goal: str) -> None:
    model, x, y = setting()
    model.eval()
    result = objective(model, x, y, generator())
    loss, logits, inputs = result.loss, result.logits, result.inputs
    assert loss.shape == (), f"expected a scalar loss, got shape {tuple(loss.shape)}"
    assert loss.dtype == x.dtype, f"expected a loss of {x.dtype}, got {loss.dtype}"
    assert bool(loss.isfinite()), f"expected a finite loss, got {loss.item()}"
    assert inputs.shape == x.shape, f"expected inputs of shape {tuple(x.shape)}, got {tuple(inputs.shape)}"
    assert torch.allclose(model(inputs), logits), "the logits are not those of the inputs"
    for name, number in result.numbers.items():
        value = torch.as_tensor(number)
        assert value.shape == (), f"expected a number as {name}, got {number!r}"
        assert not value.requires_grad, f"{name} is not detached"
        assert bool(value.isfinite()), f"expected a finite {name}, got {value}"
    for name, parameter in model.named_parameters():
        (gradient,) = torch.autograd.grad(loss, parameter, retain_graph=True, allow_unused=True, materialize_grads=True)
        assert bool(gradient.isfinite().all()), f"the gradient to {name} isn't finite"
        assert bool((gradient != 0).any()), f"the gradient doesn't reach {name}"
    again = objective(model, x, y, generator())
    assert torch.equal(again.loss, loss), "two calls with one seed differ"
    assert torch.equal(again.inputs, inputs), "two calls with one seed differ"
    assert bool((inputs >= 0).all() and (inputs <= 1).all()), "the inputs leave [0, 1]"
    farthest = lengths(inputs - x, norm).max().item()
    assert farthest <= eps + ROUNDING, f"the inputs are {farthest:g} away from the images, more than eps = {eps:g}"
    if goal == "margin":
        before, after = (margin(model(images), y).mean() for images in (x, inputs))
        assert after <= before, "the inputs are easier than the images"


def _check_gradient(objective: Objective) -> None:
    """In training mode, without dropout, whose draws would differ."""
    model, x, y = setting(dropout=False)
    seen: list[Tensor] = []

    def noting(images: Tensor) -> Outputs:
        seen.append(images.detach())
        return model(images), None

    parameters = list(model.parameters())
    with _attacked_once(objective):
        loss = objective(model, x, y, generator(), noting).loss
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)

        def replayed() -> Tensor:
            """The loss of other weights on the images that were found for these."""
            passing = iter(seen)
            return objective(model, x, y, generator(), lambda _: (model(next(passing)), None)).loss

        check_slope(gradients, parameters, replayed, what="the gradient to the weights", tolerance=1e-3)


@contextmanager
def _attacked_once(objective: Objective) -> Iterator[None]:
    """Inside, what an objective's attacks found first is what they find from then on.

    They are known by the methods ``examples`` and, inside a network, ``latent_examples``.
    """
    attacks = {name: getattr(objective, name, None) for name in ("examples", "latent_examples")}
    held = {name: _once(attack) for name, attack in attacks.items() if attack is not None}
    vars(objective).update(held)
    try:
        yield
    finally:
        for name in held:
            del vars(objective)[name]


def _once(attack: Callable[..., Any]) -> Callable[..., Any]:
    found: list[Any] = []

    def examples(*arguments: Any) -> Any:
        if not found:
            found.append(attack(*arguments))
        return found[0]

    return examples


def _check_statistics(objective: Objective) -> None:
    model, x, y = setting(dropout=False)
    reference = copy.deepcopy(model)
    seen: list[Tensor] = []

    def noting(images: Tensor) -> Outputs:
        seen.append(images.detach())
        return model(images), None

    inputs = objective(model, x, y, generator(), noting).inputs
    assert any(torch.equal(images, inputs) for images in seen), "the inputs never pass `loss_forward`"
    for images in seen:
        reference(images)
    for (name, buffer), expected in zip(model.named_buffers(), reference.buffers(), strict=True):
        assert torch.allclose(buffer, expected), f"{name} doesn't follow the images of the loss alone"


def _check_auxiliary(objective: Objective) -> None:
    model, x, y = setting(dropout=False)
    head = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).to(x.dtype)
    seen: list[Tensor] = []

    def with_head(images: Tensor) -> Outputs:
        seen.append(images.detach())
        return model(images), head(images)

    model.eval()
    extra = objective(model, x, y, generator(), with_head).loss - objective(model, x, y, generator()).loss
    possible = [
        objective.auxiliary_weight * F.cross_entropy(head(images), y, label_smoothing=objective.label_smoothing)
        for images in seen
    ]
    assert any(torch.isclose(extra, each) for each in possible), (
        "an auxiliary head doesn't add its smoothed cross-entropy times `auxiliary_weight`: "
        f"{extra.item():.6g} instead of {possible[0].item():.6g}"
    )


def _check_mean(still: Objective) -> None:
    """Without an adversary, so that nothing depends on draws."""
    model, x, y = setting()
    logits = model.eval()(x)
    whole = still(model, x, y, generator()).loss
    alone = torch.stack([still(model, x[n : n + 1], y[n : n + 1], generator()).loss for n in range(len(x))])
    assert torch.allclose(whole, alone.mean()), (
        f"the loss is not the mean over the batch: {whole.item():.6g} of all images, {alone.mean().item():.6g} in the "
        "mean of single ones"
    )
    right, wrong = (still(model, x, classes, generator()).loss for classes in (logits.argmax(1), logits.argmin(1)))
    assert right < wrong, "the loss of the classes that a network gives is not below that of those it gives last"


def _check_not_finite(objective: Objective) -> None:
    model, x, y = setting(dropout=False)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    try:
        loss = objective(model, x, y, generator()).loss
    except NonFiniteError:
        return
    assert not bool(loss.isfinite()), "a network of NaN weights has a finite loss"
