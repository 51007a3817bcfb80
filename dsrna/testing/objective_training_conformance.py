"""What a training loss promises beside its value: a start, what counts as certified, what is carried on."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from dsrna.functional.norms import steepest_step
from dsrna.functional.projections import project
from dsrna.testing.objective_setting import Objective, generator, lengths, setting
from dsrna.testing.untouched import left_as_it_was, unsettled
from dsrna.types import Norm

ROUNDING = 1e-6


def check_start(objective: Objective) -> None:
    starts = []
    for _ in range(2):
        model, _, _ = setting()
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


def check_certified(objective: Objective, still: Objective, norm: Norm, eps: float) -> None:
    model, x, y = setting()
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


def check_carried(objective: Objective, restored: Objective, norm: Norm, eps: float) -> None:
    model, x, y = setting(dropout=False)
    model.eval()
    first = objective(model, x, y, generator())
    assert objective.carries == (first.carried is not None), "`carries` doesn't say whether something is carried"
    if first.carried is None:
        assert objective.replays == 1, "it replays batches, but carries nothing from one to the other"
        assert objective.state() == {}, "it has a state, but carries nothing"
        return
    losses = [first.loss]
    for _ in range(2):
        result = objective(model, x, y, generator())
        (gradient,) = torch.autograd.grad(result.loss, result.carried.delta)
        result.carried.move(result.carried.delta, gradient)
        after = objective(model, x, y, generator())
        losses.append(after.loss)
        farthest = lengths(after.inputs - x, norm).max().item()
        assert farthest <= eps + ROUNDING, f"what is carried leaves the ball: {farthest:g} instead of eps = {eps:g}"
    assert losses[1] > losses[0], "what is carried doesn't go uphill"
    few = objective(model, x[:2], y[:2], generator())
    assert torch.equal(few.inputs, after.inputs[:2]), "a smaller batch doesn't take what was carried"
    restored.load_state(objective.state())
    assert torch.equal(restored(model, x, y, generator()).inputs, after.inputs), "its state doesn't bring it back"
