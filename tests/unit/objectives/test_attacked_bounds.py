"""SABR, MTL-IBP and CC-IBP against a textbook computation; interval regulariser and initialisation by formula."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.bounds.ibp import IBP
from dsrna.bounds.interval import Interval
from dsrna.errors import ConfigError
from dsrna.nn.certified_initialization import ibp_initialization
from dsrna.objectives.cc_ibp import CCIBP
from dsrna.objectives.interval_regulariser import IntervalRegulariser
from dsrna.objectives.mtl_ibp import MTLIBP
from dsrna.objectives.sabr import SABR
from dsrna.types import Threat
from tests.unit.objectives.textbook import Textbook, batch, loss_of, network

THREAT = Threat("linf", 0.05)
ALPHA = 0.3
CLASSES = [SABR, MTLIBP, CCIBP]


def expected_loss(kind, book, x, y, attacked):
    if kind is SABR:
        return loss_of(book.bounds(attacked(0.7 * 0.05), 0.3 * 0.05, y))
    worst, best = book.bounds(x, 0.05, y), book.margins(attacked(0.05), y)
    if kind is MTLIBP:
        return 0.7 * loss_of(best) + 0.3 * loss_of(worst)
    return loss_of(0.7 * best + 0.3 * worst)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_loss_is_the_textbook_one_with_the_statistics_of_the_clean_batch(kind):
    (x, y), model = batch(), network()
    reference = copy.deepcopy(model)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).sign()

    def attacked(radius):
        return (x + radius * direction).clamp(0, 1)

    objective = kind(THREAT, alpha=ALPHA, ramp_begin=0, ramp_end=0)
    objective.examples = lambda _, images, radius: attacked(radius)
    result = objective(model, x, y)
    expected = expected_loss(kind, Textbook(reference, x), x, y, attacked)
    torch.testing.assert_close(result.loss, expected)
    found = torch.autograd.grad(result.loss, list(model.parameters()))
    torch.testing.assert_close(found, torch.autograd.grad(expected, list(reference.parameters())))
    torch.testing.assert_close(result.logits, reference(x))
    assert result.inputs is x


@pytest.mark.parametrize("kind", CLASSES)
def test_the_attack_sees_the_statistics_of_the_clean_batch(kind):
    (x, y), model = batch(), network()
    book = Textbook(copy.deepcopy(model), x)
    objective = kind(THREAT, alpha=ALPHA, ramp_begin=0, ramp_end=0)
    found = {}
    attack = objective.examples
    objective.examples = lambda seen, images, radius: found.setdefault(radius, attack(seen, images, radius))
    objective(model, x, y, torch.Generator().manual_seed(0))
    ((radius, images),) = found.items()
    assert radius == pytest.approx(0.7 * 0.05 if kind is SABR else 0.05)
    assert (images - x).abs().max() <= radius + 1e-9
    corner = x + radius * steepest(book, x, y)
    before, after, one_step = (F.cross_entropy(book.logits(each), y) for each in (x, images, corner.clamp(0, 1)))
    assert after > before
    assert after >= 0.98 * one_step


def steepest(book, x, y):
    images = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(book.logits(images), y, reduction="sum"), images)
    return gradient.sign()


@pytest.mark.parametrize("kind", CLASSES)
def test_at_both_ends_of_alpha_it_is_attack_and_intervals(kind):
    (x, y), model = batch(), network().eval()
    whole = kind(THREAT, alpha=1.0, ramp_begin=0, ramp_end=0)(model, x, y, torch.Generator().manual_seed(0)).loss
    torch.testing.assert_close(whole, loss_of(IBP()(model, x, 0.05, y).lower))
    none = kind(THREAT, alpha=0.0, ramp_begin=0, ramp_end=0)
    images = none.attack(0.05)(model, x, y, torch.Generator().manual_seed(0))
    attacked = none(model, x, y, torch.Generator().manual_seed(0)).loss
    torch.testing.assert_close(attacked, F.cross_entropy(model(images), y))


def test_certified_is_by_the_tighter_engine():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    x = torch.rand(200, 1, 4, 4)
    y = model(x).argmax(1)
    threat = Threat("linf", 0.03)
    counts = [
        SABR(threat, alpha=ALPHA, engine=name).certified(model, x, y).sum() for name in ("ibp", "crown_ibp", "crown")
    ]
    assert counts[0] < counts[1] <= counts[2]


def test_the_regulariser_is_its_formula():
    (x, _), model = batch(), network().eval()
    nn.init.constant_(model[1].running_mean, 0.0)
    regulariser = IntervalRegulariser(model)
    model(Interval.ball(x, torch.tensor(0.05), "linf"))  # not seen
    with regulariser.watching():
        model(x)  # no interval
        model(Interval.ball(x, torch.tensor(0.05), "linf"))
    low, high = (x - 0.05).clamp(min=0), (x + 0.05).clamp(max=1)
    conv, norm = model[0], model[1]
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).view(-1, 1, 1)
    shift = norm.bias.view(-1, 1, 1) - norm.running_mean.view(-1, 1, 1) * scale
    centre = conv((low + high) / 2) * scale + shift
    radius = F.conv2d((high - low) / 2, conv.weight.abs(), padding=1) * scale.abs()
    values, widths = centre.flatten().tolist(), radius.flatten().tolist()
    tight = ((high - low) / 2).mean().item() / (sum(widths) / len(widths))
    active = [c for c, r in zip(values, widths, strict=True) if c - r > 0]
    inactive = [c for c, r in zip(values, widths, strict=True) if c + r < 0]
    assert active
    assert inactive
    mean = sum(values) / len(values)
    sums = sum(active), -sum(inactive)
    squares = [sum((c - mean) ** 2 for c in side) for side in (active, inactive)]
    expected = sum(max(0, 0.5 - min(a / b, b / a)) / 0.5 for a, b in ((tight, 1e12), sums, squares) if b != 1e12)
    expected += max(0, 0.5 - tight) / 0.5
    assert expected > 0
    assert regulariser.value().item() == pytest.approx(expected)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_regulariser_fades_as_the_radius_grows():
    (x, y), model = batch(), network()
    settings = {"alpha": 1.0, "ramp_begin": 0.0, "ramp_end": 1.0, "ramp_shape": "linear"}
    with_it, without = MTLIBP(THREAT, **settings, regularization=0.5), MTLIBP(THREAT, **settings)
    for progress in (0.25, 0.5, 1.0):
        losses = []
        for objective in (with_it, without):
            objective.advance(progress)
            result = objective(model, x, y, torch.Generator().manual_seed(0))
            losses.append(result.loss.item())
        term = MTLIBP(THREAT, **settings | {"ramp_end": 0.0}, eps_factor=progress, regularization=0.5)
        assert "regularizer" not in term(model, x, y, torch.Generator().manual_seed(0)).numbers, "in the whole ball"
        objective = MTLIBP(THREAT, **settings, regularization=1.0)
        objective.advance(progress)
        numbers = objective(model, x, y, torch.Generator().manual_seed(0)).numbers
        weighed = 0.5 * (1 - progress) * numbers.get("regularizer", 0.0)
        assert losses[0] - losses[1] == pytest.approx(float(weighed))
        assert progress == 1.0 or weighed > 0


def test_the_ibp_initialization_keeps_the_width_of_intervals():
    """Eight layers of 400: intervals come out about as wide as they went in."""
    torch.manual_seed(0)
    layers = [module for _ in range(8) for module in (nn.Linear(400, 400, bias=False), nn.ReLU())]
    model = nn.Sequential(*layers).double()
    ibp_initialization(model)
    assert model[0].weight.std().item() == pytest.approx(math.sqrt(2 * math.pi) / 400, rel=0.02)
    x = torch.rand(10, 400).double()
    widths = IBP().bound(model, x, torch.full((10,), 0.01), None)
    ratio = (widths.upper - widths.lower).mean().item() / 0.02
    assert 0.3 < ratio < 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 1.5}, "alpha"),
        ({"alpha": 0.5, "steps": 0}, "steps"),
        ({"alpha": 0.5, "relative_step_size": 3.0}, "step_size"),
        ({"alpha": 0.5, "engine": "beta_crown"}, "engine"),
        ({"alpha": 0.5, "initialization": "warm"}, "initialization"),
        ({"alpha": 0.5, "regularization": -1.0}, "regularization"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        SABR(THREAT, **settings)
