"""What every metric shares."""

import pytest
import torch

from dsrna.errors import NonFiniteError
from dsrna.metrics.base import RobustnessMetric
from dsrna.metrics.none import NoMetric
from dsrna.stages.search import warn_of_ignoring_the_input
from dsrna.testing.tiny_networks import TinyMixedNetwork, tiny_images

Y = torch.tensor([0, 1, 2, 0])


def test_no_metric_scores_zero_without_running_the_network():
    scores = NoMetric()(NeverRun(), tiny_images(), Y)
    assert torch.equal(scores, torch.zeros(4, dtype=torch.float64))
    assert not scores.requires_grad


class NeverRun(torch.nn.Module):
    def forward(self, x):
        raise AssertionError("the network was run")


class Fixed(RobustnessMetric):
    """Scores read from the images, whatever the network."""

    def score(self, model, x, y, generator):
        return x[:, 0, 0, 0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_non_finite_score_is_refused_with_its_image(bad):
    x = tiny_images()
    x[2:, 0, 0, 0] = bad
    with pytest.raises(NonFiniteError, match="Fixed: 2 of 4 scores are NaN or infinite, first that of image 2"):
        Fixed()(TinyMixedNetwork(), x, Y)


@pytest.mark.parametrize("rewards", [True, False])
def test_a_search_warns_of_metrics_that_reward_ignoring_the_input(rewards, caplog):
    metric = Fixed()
    metric.rewards_ignoring_the_input = rewards
    warn_of_ignoring_the_input(metric)
    assert ("metric Fixed: a network that ignores its input may score best" in caplog.text) == rewards


def test_a_metric_is_taken_to_reward_ignoring_the_input_unless_it_says_otherwise():
    assert Fixed().rewards_ignoring_the_input
    assert not NoMetric().rewards_ignoring_the_input
