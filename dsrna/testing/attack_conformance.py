"""What every attack promises, as one function to call from a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dsrna.errors import NonFiniteError
from dsrna.functional.margins import margin
from dsrna.functional.norms import steepest_step
from dsrna.functional.projections import project
from dsrna.testing.tiny_networks import faulty_network
from dsrna.testing.untouched import Failing, MadeUpError, left_as_it_was, unsettled
from dsrna.types import Norm

ROUNDING = 1e-6
RANDOM_POINTS = 20

AttackCall = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]
"""(model, x, y, generator) -> adversarial examples."""


def tiny_classifier(classes: int = 3, seed: int = 0) -> nn.Sequential:
    """A small convolution net for (N, 2, 6, 6) images, in training mode, with the layers that modes matter to."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(4 * 6 * 6, classes),
        )


def check_attack(
    build: Callable[[Norm, float], AttackCall],
    eps: float = 0.1,
    goal: Literal["margin", "divergence"] = "margin",
    *,
    shares_statistics: bool = False,
) -> None:
    """Runs an attack on tiny networks and checks what the contract says of it.

    In the ball and in [0, 1], of the images' type, every image moved; the same generator seed gives the same images,
    and torch's global random numbers aren't drawn; an image's example does not depend on its batch mates; accuracy does
    not rise, and the attack gets further than the best of some random points on the edge of the ball; the same under
    ``no_grad`` and ``inference_mode``; NaN refused; ``eps`` 0 changes nothing; no gradient left, images, weights, modes
    and flags as before, after an error too.

    Args:
        build: makes the attack for a norm and a radius.
        eps: radius used for both norms.
        goal: what it is after: to make margins fall, or, as TRADES's inner loss, probabilities move from where they
            were, KL(p(x) || p(x')).
        shares_statistics: whether it sees BatchNorm by the batch's statistics, through which alone an example may
            depend on its batch mates then.

    Raises:
        AssertionError: the attack breaks the contract; the message says how.
    """
    norms: tuple[Norm, ...] = ("linf", "l2")
    for norm in norms:
        attack = build(norm, eps)
        try:
            _check_untouched(attack)
            _check_place(attack, norm, eps)
            _check_repeats(attack)
            _check_batch_mates(attack, shares_statistics=shares_statistics)
            _check_strength(attack, norm, eps, goal)
            _check_not_finite(attack)
            model, x, y = _setting()
            assert torch.equal(build(norm, 0.0)(model, x, y, _generator()), x), "eps 0 moves the images"
        except AssertionError as error:
            raise AssertionError(f"{norm}: {error}") from error


def _check_place(attack: AttackCall, norm: Norm, eps: float) -> None:
    for dtype in (torch.float32, torch.float64):
        model, x, y = _setting(dtype)
        found = attack(model, x, y, _generator())
        assert not found.requires_grad, "the examples are not detached"
        assert found.dtype == dtype, f"got {found.dtype}, expected {dtype}"
        assert bool((found >= 0).all() and (found <= 1).all()), "the examples leave [0, 1]"
        order = float("inf") if norm == "linf" else 2
        lengths = (found - x).flatten(1).norm(p=order, dim=1)
        farthest = lengths.max().item()
        assert farthest <= eps + ROUNDING, f"the examples are {farthest:g} away, more than eps = {eps:g}"
        assert lengths.min().item() > 0, "the attack does not move every image"


def _check_repeats(attack: AttackCall) -> None:
    model, x, y = _setting()
    found = attack(model, x, y, _generator())
    assert torch.equal(found, attack(model, x, y, _generator())), "two runs with one seed differ"
    with torch.no_grad():
        assert torch.equal(found, attack(model, x, y, _generator())), "differs under no_grad"
    with torch.inference_mode():
        assert torch.equal(found, attack(model, x.clone(), y, _generator())), "differs in inference_mode"


def _check_batch_mates(attack: AttackCall, *, shares_statistics: bool) -> None:
    model, x, y = _setting()
    if shares_statistics:
        model[1] = nn.Identity()
    found = attack(model, x, y, _generator())
    mates = torch.cat([x[:1], 1 - x[1:]])
    alone = attack(model, mates, y, _generator())[0]
    assert torch.allclose(alone, found[0], atol=1e-5), "an example depends on its batch mates"


@torch.no_grad()
def _check_strength(attack: AttackCall, norm: Norm, eps: float, goal: str) -> None:
    model, x, y = _setting()
    found = attack(model, x, y, _generator())
    logits = model.eval()(x)
    correct = logits.argmax(1) == y
    assert (model(found).argmax(1) == y).sum() <= correct.sum(), "accuracy rises under attack"

    def gain(images: Tensor) -> float:
        moved = model(images)
        if goal == "margin":
            return (margin(logits, y) - margin(moved, y))[correct].mean().item()
        return F.kl_div(moved.log_softmax(1), logits.log_softmax(1), reduction="batchmean", log_target=True).item()

    draw = torch.Generator().manual_seed(2)
    points = (
        project(x + eps * steepest_step(torch.randn(x.shape, generator=draw), norm), x, norm, eps)
        for _ in range(RANDOM_POINTS)
    )
    gained, by_chance = gain(found), max(gain(images) for images in points)
    assert gained > by_chance, f"random points of the ball do better: the {goal} moves by {by_chance:g}, not {gained:g}"


def _check_untouched(attack: AttackCall) -> None:
    model, x, y = _setting()
    images = x.clone()
    with unsettled(model), left_as_it_was(model):
        attack(model, x, y, _generator())
    assert torch.equal(x, images), "the images changed"
    assert not x.requires_grad, "the images were changed to require gradients"
    assert x.grad is None, "the images were given a .grad"
    with unsettled(model), left_as_it_was(model):
        try:
            attack(nn.Sequential(model, Failing()), x, y, _generator())
        except MadeUpError:
            return
        raise AssertionError("the attack swallows an error of the network, or doesn't run it")


def _check_not_finite(attack: AttackCall) -> None:
    _, x, y = _setting()
    x[2, 0, 0, 0] = 0.9
    for fault in ("nan gradient", "nan logits"):
        try:
            attack(faulty_network(fault, x[0].numel()), x, y, _generator())
        except NonFiniteError:
            continue
        raise AssertionError(f"a network with {fault.replace('nan', 'NaN')} is attacked without a NonFiniteError")


def _setting(dtype: torch.dtype = torch.float32) -> tuple[nn.Sequential, Tensor, Tensor]:
    model = tiny_classifier().to(dtype)
    draw = torch.Generator().manual_seed(1)
    x = torch.rand(8, 2, 6, 6, generator=draw).to(dtype)
    x[:, 0, 0, :2] = torch.tensor([0.0, 1.0])  # pixels on the edge of the box
    model.eval()
    y = model(x).argmax(dim=1)
    y[-1] = (y[-1] + 1) % 3  # one image is misclassified from the start
    return model.train(), x, y


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
