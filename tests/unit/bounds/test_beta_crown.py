"""Branch and bound decides what enumeration of all ReLU patterns decides."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from dsrna.bounds import beta_crown
from dsrna.bounds.alpha_crown import AlphaCrown
from dsrna.bounds.beta_crown import BetaCrown
from dsrna.bounds.crown import Crown
from dsrna.bounds.interval import Interval
from dsrna.errors import ConfigError

SIZES = (3, 4, 4, 3)
LABEL = torch.tensor([0])


def network(seed):
    torch.manual_seed(seed)
    layers = [nn.Linear(*sizes, dtype=torch.float64) for sizes in itertools.pairwise(SIZES)]
    for layer in layers:
        nn.init.normal_(layer.weight), nn.init.normal_(layer.bias, std=0.3)
    parts = [part for layer in layers for part in (layer, nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *parts[:-1]).requires_grad_(False)


def image(seed):
    return torch.rand(1, 1, 1, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def least_margin(model, x, eps):
    """The least of f_0 - f_1 and f_0 - f_2 over the box, and where: a linear program for each pattern of signs."""
    layers = [(part.weight.numpy(), part.bias.numpy()) for part in model if isinstance(part, nn.Linear)]
    low, high = (x - eps).clamp(min=0).flatten().numpy(), (x + eps).clamp(max=1).flatten().numpy()
    least, place = np.inf, None
    for pattern in itertools.product((0, 1), repeat=sum(SIZES[1:-1])):
        matrix, shift, signs, sides = np.eye(SIZES[0]), np.zeros(SIZES[0]), list(pattern), []
        for number, (weight, bias) in enumerate(layers):
            matrix, shift = weight @ matrix, weight @ shift + bias
            if number < len(layers) - 1:
                on = np.array([signs.pop(0) for _ in bias])
                sides.append(((1 - 2 * on)[:, None] * matrix, (2 * on - 1) * shift))
                matrix, shift = on[:, None] * matrix, on * shift
        rows, limits = (np.concatenate(part) for part in zip(*sides, strict=True))
        for rival in (1, 2):
            found = linprog(matrix[0] - matrix[rival], rows, limits, bounds=np.stack([low, high], axis=1))
            if found.status == 0 and found.fun + shift[0] - shift[rival] < least:
                least, place = found.fun + shift[0] - shift[rival], found.x
    return least, place


HARD = [(3, 0.4), (9, 0.4), (11, 0.4)]


@pytest.fixture(scope="module", params=HARD)
def hard(request):
    """A network whose least margin in the ball is shifted to a little above or below 0."""
    seed, eps = request.param
    model, x = network(seed), image(seed)
    least, place = least_margin(model, x, eps)
    rounded = model(torch.from_numpy(place).view(1, 1, 1, 3))[0]
    assert (rounded[0] - rounded[1:].max()).item() == pytest.approx(least, abs=1e-7)
    return model, x, eps, least


def shifted(hard, margin):
    model, x, eps, least = hard
    moved = network(0)
    moved.load_state_dict(model.state_dict())
    moved[-1].bias[0] += margin - least
    return moved, Interval.ball(x, eps, "linf")


@pytest.mark.slow
@pytest.mark.parametrize("precise", [False, True])
def test_a_least_margin_just_above_0_is_proved_where_alpha_crown_proves_nothing(hard, precise):
    model, ball = shifted(hard, 1e-3)
    _, x, eps, _ = hard
    assert (AlphaCrown()(model, x, eps, LABEL).lower <= 0).any(), "or it would be no test"
    engine = BetaCrown().allowing_for(torch.float32) if precise else BetaCrown()
    if precise:
        ball._unit = engine.unit(x)
    found = engine.decide(model, ball, LABEL)
    assert found.point is None
    assert (found.lower > 0).all()
    assert found.lower.min() <= 1e-3 + 1e-9, "it is a lower bound"
    assert torch.equal(BetaCrown()(model, x, eps, LABEL).lower > 0, torch.ones(1, 2, dtype=torch.bool))


def test_a_least_margin_just_below_0_is_shown_by_a_point(hard):
    model, ball = shifted(hard, -1e-3)
    found = BetaCrown().decide(model, ball, LABEL)
    assert found.point is not None
    logits = model(found.point)[0]
    assert logits[0] <= logits[1:].max()
    assert bool((found.point >= ball.lower).all() & (found.point <= ball.upper).all())
    assert found.lower.min() <= -1e-3 + 1e-9


@pytest.mark.slow
def test_linear_programs_decide_where_multipliers_are_not_optimised(hard, monkeypatch):
    """Without steps and lucky points all inputs have to be decided before an image is found to be wrong."""
    monkeypatch.setattr(beta_crown, "_MULTIPLIER_STEP", 0.0)
    monkeypatch.setattr(beta_crown._Search, "_look_at", lambda *_: None)
    for margin, proved in ((1e-3, True), (-1e-3, False)):
        model, ball = shifted(hard, margin)
        found = BetaCrown().decide(model, ball, LABEL)
        assert bool((found.lower > 0).all()) == proved
        assert (found.point is None) == proved


@pytest.mark.slow
def test_multipliers_of_linear_programs_give_each_completely_decided_case_its_least_margin(hard):
    model, ball = shifted(hard, -0.1)
    engine = BetaCrown()
    search = beta_crown._Search(engine, model, engine.relax(model, ball), ball, LABEL)
    patterns = torch.tensor(list(itertools.product((-1, 1), repeat=search._splits.total)), dtype=torch.int8)
    least = []
    for rival in (0, 1):
        root = search._root().at(torch.full((len(patterns),), rival))
        cases = search._completed(root._replace(signs=patterns, slopes=root.slopes * 0))
        least.append(cases.lower.min())
        assert (cases.lower > 0).any()
    assert torch.stack(least).min().item() == pytest.approx(-0.1, abs=1e-6)


def test_no_time_leaves_alpha_crowns_bounds(hard):
    model, ball = shifted(hard, 1e-3)
    _, x, eps, _ = hard
    lower = BetaCrown(seconds=1e-9).decide(model, ball, LABEL).lower
    assert (lower <= 0).any()
    assert (lower >= Crown()(model, x, eps, LABEL).lower[0] - 1e-9).all()


def test_slopes_of_all_layers_make_bounds_tighter_and_keep_them_sound():
    torch.manual_seed(0)
    sizes = (8, 12, 12, 12, 3)
    parts = [p for a, b in itertools.pairwise(sizes) for p in (nn.Linear(a, b, dtype=torch.float64), nn.ReLU())]
    model = nn.Sequential(nn.Flatten(), *parts[:-1]).requires_grad_(False)
    for layer in parts[::2]:
        layer.weight.mul_(2)
    x = torch.rand(3, 2, 2, 2, dtype=torch.float64)
    plain, all_layers = AlphaCrown(steps=10)(model, x, 0.15), AlphaCrown(steps=10, layer_steps=10)(model, x, 0.15)
    width, narrower = (bounds.upper - bounds.lower for bounds in (plain, all_layers))
    assert (narrower <= 1.01 * width).all()
    assert narrower.mean() < 0.95 * width.mean()
    points = (x + 0.15 * (2 * torch.rand(4000, 3, 2, 2, 2, dtype=torch.float64) - 1)).clamp(0, 1)
    logits = model(points.flatten(0, 1)).view(4000, 3, 3)
    assert ((logits >= all_layers.lower) & (logits <= all_layers.upper)).all()


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"case_steps": 0}, {"parallel": 0}, {"layer_steps": -1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        BetaCrown(**wrong)
