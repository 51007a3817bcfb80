"""TAPS and STAPS against a textbook computation on a small sequential network; connector and latent attack by hand."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.functional.margins import all_margins
from dsrna.objectives.latent_box import Connected, LatentBox
from dsrna.objectives.sabr import SABR
from dsrna.objectives.taps import TAPS
from dsrna.types import Threat
from tests.unit.objectives.textbook import batch

THREAT = Threat("linf", 0.05)
NOW = {"ramp_begin": 0.0, "ramp_end": 0.0}


def network():
    """Convolution, BatchNorm, ReLU; linear, BatchNorm, ReLU, linear.

    In training mode, with running statistics far from the batch's.
    """
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())
    rest = nn.Flatten(), nn.Linear(108, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)
    model = nn.Sequential(features, *rest).double()
    for norm in (features[1], model[3]):
        nn.init.uniform_(norm.weight, -1, 1)
        nn.init.constant_(norm.running_mean, 7.0)
    return model


def draws():
    return torch.Generator().manual_seed(0)


class PaperConnector(torch.autograd.Function):
    """Gives the points; each end gets max(0, 1 - |z - end| / (c w)) of their gradient, c = 0.5, all points' summed."""

    @staticmethod
    def forward(ctx, lower, upper, points):
        ctx.save_for_backward(lower, upper, points)
        return points.clone()

    @staticmethod
    def backward(ctx, gradient):
        lower, upper, points = ctx.saved_tensors
        reach = 0.5 * (upper - lower)
        ends = [torch.where(reach > 0, (1 - (points - end).abs() / reach).clamp(min=0), 0.5) for end in (lower, upper)]
        return (ends[0] * gradient).sum(0), (ends[1] * gradient).sum(0), None


def affine(norm, values, dims):
    """BatchNorm as scale and shift, by the statistics of a batch."""
    scale = norm.weight / (values.var(dims, unbiased=False) + norm.eps).sqrt()
    return scale, norm.bias - values.mean(dims) * scale


def textbook(model, x, y, eps, shares):
    """Losses of each image by intervals, and at the points of those shares (R, N, ...) of the box behind the ReLU."""
    (conv, norm, _), _, first, second_norm, _, last = model
    before = conv(x)
    scale, shift = (each.view(-1, 1, 1) for each in affine(norm, before, (0, 2, 3)))
    hidden_scale, hidden_shift = affine(second_norm, first(F.relu(before * scale + shift).flatten(1)), 0)
    low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
    centre = conv((low + high) / 2) * scale + shift
    radius = F.conv2d((high - low) / 2, conv.weight.abs(), padding=1) * scale.abs()
    low, high = F.relu(centre - radius), F.relu(centre + radius)
    points = PaperConnector.apply(low, high, (low + shares * (high - low)).detach())
    flat_low, flat_high = low.flatten(1), high.flatten(1)
    weight, bias = hidden_scale[:, None] * first.weight, hidden_scale * first.bias + hidden_shift
    up, down = weight.clamp(min=0).T, weight.clamp(max=0).T
    hidden_low, hidden_high = (
        F.relu(near @ up + far @ down + bias) for near, far in ((flat_low, flat_high), (flat_high, flat_low))
    )
    by_intervals, attacked = [], []
    for n, true in enumerate(y.tolist()):
        for r, rival in enumerate(j for j in range(4) if j != true):
            row, offset = last.weight[true] - last.weight[rival], last.bias[true] - last.bias[rival]
            by_intervals.append(row.clamp(min=0) @ hidden_low[n] + row.clamp(max=0) @ hidden_high[n] + offset)
            attacked.append(row @ F.relu(weight @ points[r, n].flatten() + bias) + offset)
    return [(1 + torch.exp(-torch.stack(each).view(-1, 3)).sum(1)).log() for each in (by_intervals, attacked)]


@pytest.mark.parametrize("alpha", [0.5, 0.2, 1.0])
@pytest.mark.parametrize("box", [1.0, 0.4])
def test_loss_and_gradient_are_the_textbook_ones(alpha, box):
    (x, y), model = batch(), network()
    reference = copy.deepcopy(model)
    shares = torch.rand(3, 5, 3, 6, 6, generator=draws(), dtype=torch.float64)
    shares = torch.where(shares < 0.2, 0.0, torch.where(shares > 0.7, 1.0, shares))

    def latent_examples(_, latent):
        (low,), (high,) = ([end.detach() for end in ends] for ends in (latent.lower, latent.upper))
        return (Connected((low + shares * (high - low)).flatten(0, 1), low, high),)

    objective = TAPS(THREAT, alpha=alpha, box=box, **NOW)
    objective.latent_examples = latent_examples
    objective.examples = lambda _, images, radius: images  # the textbook's ball is around these
    result = objective(model, x, y, draws())
    boxed, attacked = textbook(reference, x, y, box * 0.05, shares)
    torch.testing.assert_close(result.loss, (boxed * attacked).mean())
    torch.testing.assert_close(result.numbers["loss_box"], boxed.mean().detach())
    torch.testing.assert_close(result.numbers["loss_latent"], attacked.mean().detach())
    weighed = 2 * (1 - alpha) * boxed.detach() * attacked + 2 * alpha * attacked.detach() * boxed
    found = torch.autograd.grad(result.loss, list(model.parameters()))
    torch.testing.assert_close(found, torch.autograd.grad(weighed.mean(), list(reference.parameters())))
    torch.testing.assert_close(result.logits, reference(x))


def test_how_points_move_with_the_ends_of_their_interval():
    """In [1, 3]: with the end that they are at, half as far a quarter of the width away, not in the middle."""
    points = torch.tensor([1.0, 1.5, 2.0, 2.25, 3.0, 7.0])[:, None, None]
    lower, upper = torch.tensor([[1.0]]), torch.tensor([[3.0]])
    connected = Connected(points.flatten(0, 1), lower, upper)
    assert torch.equal(connected.at(lower, upper), points[:, 0])
    moved = connected.at(lower + 0.1, upper + 10.0).flatten()[:5] - points.flatten()[:5]
    torch.testing.assert_close(moved, torch.tensor([0.1, 0.05, 0.0, 2.5, 10.0]))
    flat = Connected(torch.tensor([[2.0]]), torch.tensor([[2.0]]), torch.tensor([[2.0]]))
    torch.testing.assert_close(flat.at(torch.tensor([[2.4]]), torch.tensor([[2.8]])), torch.tensor([[2.6]]))


def latent(classifier, lower, upper, rivals):
    def logits(values):
        return classifier(torch.cat(values, dim=1))

    return LatentBox(lower, upper, torch.zeros(len(lower[0]), rivals).double(), logits, logits)


def test_the_latent_attack_finds_the_corners_of_a_linear_classifier():
    """Two values, as between cells; every margin is least in a corner, another one for each class and image."""
    torch.manual_seed(1)
    classifier = nn.Linear(5, 3).double()
    lower = torch.randn(4, 2).double(), torch.randn(4, 3).double()
    upper = tuple(low + torch.rand_like(low) for low in lower)
    y = torch.tensor([0, 2, 1, 1])
    box = latent(classifier, lower, upper, 2)
    found = box.worst_points(y, 8, 0.5, draws())
    margins = box.margins_at(found, y)
    low, high = torch.cat(lower, 1), torch.cat(upper, 1)
    for n, true in enumerate(y.tolist()):
        for r, rival in enumerate(j for j in range(3) if j != true):
            row = classifier.weight[true] - classifier.weight[rival]
            least = row.clamp(min=0) @ low[n] + row.clamp(max=0) @ high[n]
            torch.testing.assert_close(margins[n, r], least + classifier.bias[true] - classifier.bias[rival])
    assert not any(values.requires_grad for each in found for values in each)


def test_the_latent_attack_keeps_the_best_point_of_the_box():
    """Against a grid of two values; a step as long as the box is wide leaps from one side to the other."""
    torch.manual_seed(4)
    classifier = nn.Sequential(nn.Linear(2, 12), nn.Tanh(), nn.Linear(12, 3)).double()
    with torch.no_grad():
        classifier[0].weight.mul_(3)
    lower, upper = (torch.full((6, 2), -1.0).double(),), (torch.full((6, 2), 1.0).double(),)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    box = latent(classifier, lower, upper, 2)
    axis = torch.linspace(-1, 1, 101, dtype=torch.float64)
    logits = classifier(torch.cartesian_prod(axis, axis))
    least = torch.stack([all_margins(logits, true.expand(len(logits))).amin(dim=0) for true in y])
    for step, steps, tolerance in ((0.1, 40, 0.3), (2.0, 9, 2.0)):
        found = box.worst_points(y, steps, step, draws())
        assert bool(((found[0].points >= -1) & (found[0].points <= 1)).all())
        margins = box.margins_at(found, y)
        assert bool((margins >= least - 1e-3).all())
        assert (margins - least).mean() < tolerance
    start = box.worst_points(y, 0, 2.0, draws())
    assert bool((margins <= box.margins_at(start, y)).all()), "the start counts, too"


def test_the_loss_lies_between_those_of_attack_and_intervals():
    (x, y), model = batch(), network()
    result = TAPS(THREAT, alpha=0.2, steps=30, relative_step_size=0.1, **NOW)(model, x, y, draws())
    images = SABR(THREAT, alpha=0.0, steps=30, relative_step_size=0.1, **NOW)
    attacked = images(model, x, y, draws()).loss
    assert attacked < 0.99 * result.numbers["loss_latent"]
    assert result.numbers["loss_latent"] < 0.99 * result.numbers["loss_box"]
    assert result.numbers["loss_box"] == pytest.approx(SABR(THREAT, alpha=1.0, **NOW)(model, x, y, draws()).loss.item())


def test_while_the_radius_grows_it_is_ibp_and_staps_is_sabr():
    (x, y), model = batch(), network()
    settings = {"ramp_begin": 0.0, "ramp_end": 0.5, "steps": 2}
    for box in (1.0, 0.4):
        taps, sabr = TAPS(THREAT, alpha=0.2, box=box, **settings), SABR(THREAT, alpha=box, **settings)
        for progress in (0.0, 0.3):
            taps.advance(progress)
            sabr.advance(progress)
            ours, theirs = (each(model, x, y, draws()) for each in (taps, sabr))
            torch.testing.assert_close(ours.loss, theirs.loss)
            assert "loss_latent" not in ours.numbers
        taps.advance(0.5)
        assert "loss_latent" in taps(model, x, y, draws()).numbers


def test_what_it_cannot_do_is_refused_before_the_training():
    for settings, message in (({"classifier": 0}, "classifier"), ({"box": 1.5}, "box"), ({"alpha": -1.0}, "alpha")):
        with pytest.raises(ConfigError, match=message):
            TAPS(THREAT, **{"alpha": 0.2} | settings)
    with pytest.raises(
        ConfigError, match=r"more than 2 nonlinear layers .* got Sequential with 2\. .*conf: classifier"
    ):
        TAPS(THREAT, alpha=0.2, classifier=2).initialise(network())


def test_titles_tell_them_apart():
    assert TAPS(THREAT, alpha=0.2).title == "certified training (TAPS, 0.2)"
    assert TAPS(THREAT, alpha=0.2, box=0.4).title == "certified training (STAPS, 0.4, 0.2)"
