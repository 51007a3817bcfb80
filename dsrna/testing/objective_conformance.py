"""What every training loss promises, as one function to call from a test."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.errors import NonFiniteError
from dsrna.functional.margins import margin
from dsrna.functional.norms import steepest_step
from dsrna.functional.projections import project
from dsrna.testing.attack_conformance import tiny_classifier
from dsrna.testing.slopes import check_slope
from dsrna.testing.untouched import Failing, MadeUpError, left_as_it_was, unsettled
from dsrna.types import Norm, Threat

Outputs = tuple[Tensor, Tensor | None]


class Result(Protocol):
    """The part of a result that the suite uses."""

    @property
    def loss(self) -> Tensor: ...
    @property
    def logits(self) -> Tensor: ...
    @property
    def inputs(self) -> Tensor: ...
    @property
    def numbers(self) -> Mapping[str, float | Tensor]: ...
    @property
    def carried(self) -> Any: ...


class Objective(Protocol):
    """The part of an objective's contract that the suite uses."""

    label_smoothing: float
    auxiliary_weight: float
    replays: int
    carries: ClassVar[bool]

    @property
    def title(self) -> str: ...
    def initialise(self, model: nn.Module) -> None: ...
    def advance(self, progress: float) -> None: ...
    def certified(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor | None: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...
    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        generator: torch.Generator | None = None,
        loss_forward: Callable[[Tensor], Outputs] | None = None,
    ) -> Any: ...


THREATS: tuple[tuple[Norm, float], ...] = (("linf", 0.1), ("l2", 0.3))
PROGRESS = (0.0, 0.3, 0.999)
"""Of the training: at its start, on the way, at its end."""
ROUNDING = 1e-6


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
        _check_start(objective)
        _check_certified(objective, still, norm, eps)
        _check_carried(build(Threat(norm, eps)), build(Threat(norm, eps)), norm, eps)


def _check_untouched(objective: Objective) -> None:
    model, x, y = _setting()
    model.eval()  # so that no statistics move, and dropout draws nothing
    images = x.clone()
    with unsettled(model):
        model.eval()[0].train()
        with left_as_it_was(model):
            result = objective(model, x, y, _generator())
        with left_as_it_was(model):
            try:
                objective(nn.Sequential(model, Failing()), x, y, _generator())
            except MadeUpError:
                pass
            else:
                raise AssertionError("the objective swallows an error of the network, or doesn't run it")
    assert torch.equal(x, images), "the images changed"
    assert not x.requires_grad, "the images were changed to require gradients"
    assert not result.inputs.requires_grad, "the inputs are not detached"
    model.train()
    with left_as_it_was(model, buffers=False, global_draws=False):  # in training, what the loss's own passes move
        objective(model, x, y, _generator())
    title = objective.title
    assert title.split("\n") == [title.strip() or None], f"expected a title of one line, got {title!r}"


def _check_result(objective: Objective, norm: Norm, eps: float, goal: str) -> None:
    model, x, y = _setting()
    model.eval()
    result = objective(model, x, y, _generator())
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
    again = objective(model, x, y, _generator())
    assert torch.equal(again.loss, loss), "two calls with one seed differ"
    assert torch.equal(again.inputs, inputs), "two calls with one seed differ"
    assert bool((inputs >= 0).all() and (inputs <= 1).all()), "the inputs leave [0, 1]"
    farthest = _lengths(inputs - x, norm).max().item()
    assert farthest <= eps + ROUNDING, f"the inputs are {farthest:g} away from the images, more than eps = {eps:g}"
    if goal == "margin":
        before, after = (margin(model(images), y).mean() for images in (x, inputs))
        assert after <= before, "the inputs are easier than the images"


def _check_gradient(objective: Objective) -> None:
    """In training mode, without dropout, whose draws would differ."""
    model, x, y = _setting(dropout=False)
    seen: list[Tensor] = []

    def noting(images: Tensor) -> Outputs:
        seen.append(images.detach())
        return model(images), None

    parameters = list(model.parameters())
    with _attacked_once(objective):
        loss = objective(model, x, y, _generator(), noting).loss
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)

        def replayed() -> Tensor:
            """The loss of other weights on the images that were found for these."""
            passing = iter(seen)
            return objective(model, x, y, _generator(), lambda _: (model(next(passing)), None)).loss

        check_slope(gradients, parameters, replayed, what="the gradient to the weights", tolerance=1e-3)


@contextmanager
def _attacked_once(objective: Objective) -> Iterator[None]:
    """Inside, what ``examples`` found first is what it finds from then on, where an objective attacks by that name."""
    attack = getattr(objective, "examples", None)
    if attack is None:
        yield
        return
    found: list[Tensor] = []

    def examples(*arguments: Any) -> Tensor:
        if not found:
            found.append(attack(*arguments))
        return found[0]

    vars(objective)["examples"] = examples
    try:
        yield
    finally:
        del vars(objective)["examples"]


def _check_statistics(objective: Objective) -> None:
    model, x, y = _setting(dropout=False)
    reference = copy.deepcopy(model)
    seen: list[Tensor] = []

    def noting(images: Tensor) -> Outputs:
        seen.append(images.detach())
        return model(images), None

    inputs = objective(model, x, y, _generator(), noting).inputs
    assert any(torch.equal(images, inputs) for images in seen), "the inputs never pass `loss_forward`"
    for images in seen:
        reference(images)
    for (name, buffer), expected in zip(model.named_buffers(), reference.buffers(), strict=True):
        assert torch.allclose(buffer, expected), f"{name} doesn't follow the images of the loss alone"


def _check_auxiliary(objective: Objective) -> None:
    model, x, y = _setting(dropout=False)
    head = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).to(x.dtype)
    seen: list[Tensor] = []

    def with_head(images: Tensor) -> Outputs:
        seen.append(images.detach())
        return model(images), head(images)

    model.eval()
    extra = objective(model, x, y, _generator(), with_head).loss - objective(model, x, y, _generator()).loss
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
    model, x, y = _setting()
    logits = model.eval()(x)
    whole = still(model, x, y, _generator()).loss
    alone = torch.stack([still(model, x[n : n + 1], y[n : n + 1], _generator()).loss for n in range(len(x))])
    assert torch.allclose(whole, alone.mean()), (
        f"the loss is not the mean over the batch: {whole.item():.6g} of all images, {alone.mean().item():.6g} in the "
        "mean of single ones"
    )
    right, wrong = (still(model, x, classes, _generator()).loss for classes in (logits.argmax(1), logits.argmin(1)))
    assert right < wrong, "the loss of the classes that a network gives is not below that of those it gives last"


def _check_not_finite(objective: Objective) -> None:
    model, x, y = _setting(dropout=False)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    try:
        loss = objective(model, x, y, _generator()).loss
    except NonFiniteError:
        return
    assert not bool(loss.isfinite()), "a network of NaN weights has a finite loss"


def _check_start(objective: Objective) -> None:
    starts = []
    for _ in range(2):
        model, _, _ = _setting()
        modes = [module.training for module in model.modules()]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            objective.initialise(model)
        assert [module.training for module in model.modules()] == modes, "`initialise` changes modes"
        starts.append(model.state_dict())
    assert all(bool(value.isfinite().all()) for value in starts[0].values()), "`initialise` gives weights of NaN"
    assert all(torch.equal(value, starts[1][name]) for name, value in starts[0].items()), (
        "`initialise` draws from elsewhere than torch's global random numbers, which a stage seeds"
    )


def _check_certified(objective: Objective, still: Objective, norm: Norm, eps: float) -> None:
    model, x, y = _setting()
    with unsettled(model):
        model.eval()
        with left_as_it_was(model):
            certified = objective.certified(model, x, y)
    if certified is None:
        return
    assert certified.dtype == torch.bool, f"expected one bool an image as certified, got {certified.dtype}"
    assert certified.shape == y.shape, f"expected one bool an image as certified, got shape {tuple(certified.shape)}"
    correct = model.eval()(x).argmax(1) == y
    without_ball = still.certified(model, x, y)
    assert without_ball is not None, "a ball of radius 0 has no verdict"
    assert torch.equal(without_ball, correct), "in a ball of radius 0 not exactly the correct images are certified"
    images = x.clone()
    for _ in range(20):
        images.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(images), y, reduction="sum"), images)
        images = project(images.detach() + eps / 5 * steepest_step(gradient, norm), x, norm, eps)
    fooled = model(images).argmax(1) != y
    assert not bool((certified & fooled).any()), "an attack fools the network at an image that is certified"


def _check_carried(objective: Objective, restored: Objective, norm: Norm, eps: float) -> None:
    model, x, y = _setting(dropout=False)
    model.eval()
    first = objective(model, x, y, _generator())
    assert objective.carries == (first.carried is not None), "`carries` doesn't say whether something is carried"
    if first.carried is None:
        assert objective.replays == 1, "it replays batches, but carries nothing from one to the other"
        assert objective.state() == {}, "it has a state, but carries nothing"
        return
    losses = [first.loss]
    for _ in range(2):
        result = objective(model, x, y, _generator())
        (gradient,) = torch.autograd.grad(result.loss, result.carried.delta)
        result.carried.move(result.carried.delta, gradient)
        after = objective(model, x, y, _generator())
        losses.append(after.loss)
        farthest = _lengths(after.inputs - x, norm).max().item()
        assert farthest <= eps + ROUNDING, f"what is carried leaves the ball: {farthest:g} instead of eps = {eps:g}"
    assert losses[1] > losses[0], "what is carried doesn't go uphill"
    few = objective(model, x[:2], y[:2], _generator())
    assert torch.equal(few.inputs, after.inputs[:2]), "a smaller batch doesn't take what was carried"
    restored.load_state(objective.state())
    assert torch.equal(restored(model, x, y, _generator()).inputs, after.inputs), "its state doesn't bring it back"


def _setting(*, dropout: bool = True) -> tuple[nn.Sequential, Tensor, Tensor]:
    """In training mode and double precision; one image is misclassified from the start."""
    model = tiny_classifier().double()
    if not dropout:
        model[3] = nn.Identity()
    with torch.no_grad():
        for parameter in model[1].parameters():
            parameter.add_(0.3)
    x = torch.rand(6, 2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        y = model.eval()(x).argmax(1)
    y[-1] = (y[-1] + 1) % 3
    return model.train(), x, y


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _lengths(differences: Tensor, norm: Norm) -> Tensor:
    return differences.flatten(1).norm(p=float("inf") if norm == "linf" else 2, dim=1)
