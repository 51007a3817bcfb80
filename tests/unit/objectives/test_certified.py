"""Certified training losses against a textbook computation, and what they do over a training."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.bounds.crown_ibp import CrownIBP
from dsrna.bounds.ibp import IBP
from dsrna.errors import ConfigError
from dsrna.functional.margins import all_margins
from dsrna.objectives import Certified
from dsrna.objectives.certified_training import worst_logits
from dsrna.types import Threat
from tests.unit.objectives.textbook import Textbook, batch, loss_of, network

THREAT = Threat("linf", 0.05)
EPS, KAPPA = 0.04, 0.7


def at_the_end(engine="ibp", **settings):
    """With constant eps and kappa."""
    objective = Certified(
        THREAT, engine=engine, eps_factor=EPS / THREAT.eps, ramp_begin=0, ramp_end=0, kappa_end=KAPPA, **settings
    )
    objective.advance(0.5)
    return objective


def test_ibp_training_is_the_textbook_loss_with_the_statistics_of_the_batch():
    (x, y), model = batch(), network()
    reference = copy.deepcopy(model)
    result = at_the_end()(model, x, y)
    book = Textbook(reference, x)
    clean, worst = F.cross_entropy(book.logits(x), y), loss_of(book.bounds(x, EPS, y))
    expected = (1 - KAPPA) * clean + KAPPA * worst
    torch.testing.assert_close(result.loss, expected)
    found = torch.autograd.grad(result.loss, list(model.parameters()))
    torch.testing.assert_close(found, torch.autograd.grad(expected, list(reference.parameters())))
    assert all(gradient.abs().sum() > 0 for gradient in found[1:])  # BatchNorm takes the convolution's bias out


def test_the_network_stays_as_it_was_but_for_one_update_of_the_running_statistics():
    (x, y), model = batch(), network()
    model[0].eval()
    reference = copy.deepcopy(model)
    modes = [module.training for module in model.modules()]
    at_the_end()(model, x, y)
    reference(x)
    assert modes == [module.training for module in model.modules()]
    assert model.state_dict().keys() == reference.state_dict().keys()
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=0)
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_loss_bounds_that_of_every_image_in_the_ball(norm):
    (x, y), model = batch(), network().eval()
    objective = Certified(Threat(norm, 0.05), ramp_begin=0, ramp_end=0, kappa_end=1.0)
    loss = objective(model, x, y).loss
    for draw in range(50):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(draw)).double()
        step = noise.sign() if norm == "linf" else noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        assert F.cross_entropy(model((x + 0.05 * step).clamp(0, 1)), y) <= loss


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "norm"),
    [("ibp", lambda: nn.GroupNorm(2, 4)), ("crown_ibp", lambda: nn.LayerNorm((4, 3, 3)))],
    ids=["ibp-group", "crown_ibp-layer"],
)
def test_networks_that_normalise_by_an_images_own_statistics_are_trained(engine, norm):
    """Which of two halves is the brighter one, by 0.4: few images are certified before, nearly all after 40 steps."""
    draw = torch.Generator().manual_seed(0)
    x, y = 0.3 + 0.05 * torch.rand(32, 1, 4, 4, generator=draw), torch.arange(32) % 2
    x = x + 0.4 * torch.stack([torch.arange(4) < 2, torch.arange(4) >= 2])[y][:, None, None].float()
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 2), norm(), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))
    model = nn.Sequential(*layers)
    objective = Certified(THREAT, engine=engine, ramp_begin=0, ramp_end=0.5, regularization=0.5, kappa_end=1.0)
    objective.initialise(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    before = objective.certified(model, x, y).float().mean()
    for step in range(40):
        objective.advance(step / 40)
        loss = objective(model, x, y).loss
        optimiser.zero_grad()
        loss.backward()
        assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters())
        optimiser.step()
    assert before < 0.6
    assert objective.certified(model, x, y).float().mean() > 0.9


def test_worst_logits_of_exact_margins_are_the_logits():
    logits, y = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 0, 2])
    worst = worst_logits(all_margins(logits, y), y)
    torch.testing.assert_close(worst.softmax(1), logits.softmax(1))
    assert (worst[torch.arange(6), y] == 0).all()


def test_crown_ibp_training_mixes_the_bounds_of_both_engines():
    (x, y), model = batch(), network().eval()  # BatchNorm in evaluation mode normalises by its own statistics
    objective = Certified(
        THREAT, engine="crown_ibp", ramp_begin=0, ramp_end=1, kappa_start=1, kappa_end=1, eps_start=0.05
    )
    for progress in (0.0, 0.25, 1.0):
        objective.advance(progress)
        margins = (1 - progress) * CrownIBP()(model, x, 0.05, y).lower + progress * IBP()(model, x, 0.05, y).lower
        expected = F.cross_entropy(worst_logits(margins, y), y)
        torch.testing.assert_close(objective(model, x, y).loss, expected)


def test_crown_ibp_bounds_follow_the_statistics_of_every_batch():
    def fresh():
        return Certified(
            THREAT, engine="crown_ibp", ramp_begin=0, ramp_end=1, kappa_start=1, kappa_end=1, eps_start=0.05
        )

    (x, y), model, objective = batch(), network(), fresh()
    for share in (1.0, 0.5, 0.2):
        losses = [each(model, share * x, y).loss for each in (objective, fresh())]
        torch.testing.assert_close(*losses)
        torch.testing.assert_close(*(torch.autograd.grad(loss, list(model.parameters())[1:]) for loss in losses))


def test_eps_and_kappa_grow_and_are_logged():
    (x, y), model = batch(), network()
    objective = Certified(THREAT, ramp_begin=0.2, ramp_end=0.6, ramp_shape="linear", kappa_end=0.5)
    found = []
    for progress in (0.0, 0.2, 0.4, 0.6, 1.0):
        objective.advance(progress)
        numbers = objective(model, x, y).numbers
        found.append((numbers["eps"], numbers["kappa"]))
    assert found == [(0.0, 0.0), (0.0, 0.0), pytest.approx((0.025, 0.25)), (0.05, 0.5), (0.05, 0.5)]
    assert 0 <= numbers["acc_certified"] <= 1
    assert numbers["loss_certified"] > 0


def test_certified_images_are_those_whose_margins_are_proved_in_evaluation_mode():
    (x, y), model = batch(), network()
    objective = Certified(Threat("linf", 1e-3), eps_factor=5.0)
    model.train()
    y = copy.deepcopy(model).eval()(x).argmax(1)
    y[0] = (y[0] + 1) % 4
    certified = objective.certified(model, x, y)
    assert torch.equal(certified, IBP()(model, x, 1e-3, y).lower.amin(1) > 0)
    assert not certified[0]
    assert certified.any()


def test_the_start_copies_channels_each_as_often():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=4))
    before = copy.deepcopy(model)
    Certified(THREAT, start_noise=0.0).initialise(model)
    assert torch.equal(model[0].weight, before[0].weight), "it widens"
    x = torch.randn(2, 8, 5, 5)
    copies = (model[1](x)[:, :, None] == x[:, None]).all(dim=(0, 3, 4))
    assert copies.sum(dim=1).tolist() == [1, 1, 1, 1]
    assert copies.sum(dim=0).max() == 1
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(model[2](x), x)
    assert Certified(THREAT, start_noise=None).initialise(before) is None
    assert torch.equal(before[0].weight, model[0].weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "crown"}, "engine"),
        ({"kappa_end": 1.5}, "kappa_end"),
        ({"beta_start": -0.1}, "beta_start"),
        ({"eps_start": -0.1}, "eps_start"),
        ({"eps_factor": float("nan")}, "eps_factor"),
        ({"eps_factor": 30.0}, "eps"),
        ({"start_noise": -1.0}, "start_noise"),
        ({"ramp_begin": 0.7}, "ramp_begin"),
        ({"ramp_end": 1.2}, "ramp_end"),
        ({"ramp_shape": "steep"}, "shape"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Certified(THREAT, **settings)


def test_what_counts_as_certified_is_computed_in_full_precision():
    """An image whose margin is 1e-4 of its logits: bfloat16, whose numbers are 1/128 apart, would lose or gain it."""
    x = torch.full((2, 1, 2, 2), 0.5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0] * 4, [1.0] * 3 + [1.001]]))
        model[1].bias.copy_(torch.tensor([100.0, 100.0]))
    y = torch.tensor([1, 0])  # f_1 - f_0 = 0.0005
    objective = Certified(Threat("linf", 1e-3))
    with torch.autocast("cpu", torch.bfloat16):
        assert model(x).diff().abs().max() == 0, "bfloat16 sees no difference"
        assert objective.certified(model, x, y).tolist() == [True, False]
