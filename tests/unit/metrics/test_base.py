"""What every metric shares, and that the conformance suite notices metrics that break it."""

import pytest
import torch

from dsrna.errors import NonFiniteError
from dsrna.metrics.base import RobustnessMetric
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.metrics.none import NoMetric
from dsrna.testing.metric_conformance import check_metric
from dsrna.testing.tiny_networks import TinyMixedNetwork, tiny_images

Y = torch.tensor([0, 1, 2, 0])
JACOBIAN = JacobianNorm()


def test_no_metric_scores_zero_without_running_the_network():
    scores = NoMetric()(NeverRun(), tiny_images(), Y)
    assert torch.equal(scores, torch.zeros(4, dtype=torch.float64))
    assert not scores.requires_grad


class NeverRun(torch.nn.Module):
    def forward(self, x):
        raise AssertionError("the network was run")


class Fixed(RobustnessMetric):
    """Scores read from the images, whatever the network."""

    needs_input_gradient = needs_double_backward = False

    def score(self, model, x, y, generator):
        return x[:, 0, 0, 0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_non_finite_score_is_refused_with_its_image(bad):
    x = tiny_images()
    x[2:, 0, 0, 0] = bad
    with pytest.raises(NonFiniteError, match="Fixed: 2 of 4 scores are NaN or infinite, first that of image 2"):
        Fixed()(TinyMixedNetwork(), x, Y)


class Broken:
    """The Jacobian norm with one promise broken."""

    needs_input_gradient = needs_double_backward = True
    batch_norm = "running"

    def __init__(self, score):
        self.score = score

    def __call__(self, model, x, y, generator=None):
        return self.score(model, x, y)


def batch_mean(model, x, y):
    scores = JACOBIAN(model, x, y)
    return scores + 0.1 * scores.mean()


def global_noise(model, x, y):
    torch.rand(1)
    return JACOBIAN(model, x, y)


def alpha_blind(model, x, y):
    with torch.no_grad():
        scores = JACOBIAN(model, x, y)
    return scores + 0 * sum(parameter.sum() for parameter in model.parameters())


def leaves_eval_mode(model, x, y):
    scores = JACOBIAN(model, x, y)
    model.eval()
    return scores


def writes_gradients(model, x, y):
    if torch.is_grad_enabled():
        JACOBIAN(model, x, y).sum().backward()
    return JACOBIAN(model, x, y)


def moves_statistics(model, x, y):
    if isinstance(model, TinyMixedNetwork):
        model.stem[1].num_batches_tracked += 1
    return JACOBIAN(model, x, y)


def one_score(model, x, y):
    return JACOBIAN(model, x, y).mean(0, keepdim=True)


def wrong_sign(model, x, y):
    return -JACOBIAN(model, x, y)


def always_a_graph(model, x, y):
    with torch.inference_mode(False), torch.enable_grad():
        return JACOBIAN(model, x.clone(), y.clone())


def hides_nan(model, x, y):
    try:
        return JACOBIAN(model, x, y)
    except NonFiniteError:
        return x.new_zeros(len(x))


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (batch_mean, "batch mates"),
        (global_noise, "global random numbers"),
        (alpha_blind, "reach every alpha"),
        (leaves_eval_mode, "not restored"),
        (writes_gradients, "grad changed"),
        (moves_statistics, "num_batches_tracked changed"),
        (one_score, "one score an image"),
        (wrong_sign, "fragile"),
        (always_a_graph, "have a graph under no_grad"),
        (hides_nan, "instead of a NonFiniteError"),
    ],
)
def test_the_conformance_suite_notices(score, message):
    check_metric(Broken(lambda model, x, y: JACOBIAN(model, x, y)))
    with pytest.raises(AssertionError, match=message):
        check_metric(Broken(score))
