"""Weighted sums of metrics against their parts."""

import pytest
import torch
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.metrics.certified import Certified
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.metrics.local_radius import LocalRadius
from dsrna.metrics.weighted import Weighted
from dsrna.testing.metric_conformance import check_metric
from dsrna.testing.tiny_networks import TinyMixedNetwork, tiny_images

Y = torch.tensor([0, 1, 2, 0])


def network():
    return TinyMixedNetwork(readout=F.relu)


def part(weight, metric):
    return {"weight": weight, "metric": metric}


def test_a_sum_of_sums_conforms():
    rows = Weighted({"l2": part(2.0, JacobianNorm("l2")), "linf": part(0.5, JacobianNorm("linf"))})
    metric = Weighted({"rows": part(0.1, rows), "again": part(3.0, JacobianNorm("l2")), "left_out": None})

    def by_hand(weight, bias, x, y):
        l2, linf = weight.norm(dim=1).mean(), weight.abs().sum(1).mean()
        return (-(0.2 + 3.0) * l2 - 0.05 * linf).expand(len(x))

    check_metric(metric, by_hand, network)


def test_numbers_are_named_after_their_part_and_restored():
    def make():
        return Weighted({"wide": part(1.0, Certified()), "given": part(1.0, Certified(eps=0.01))})

    model, x = network(), tiny_images()
    metric, restored = make(), make()
    metric(model, x, Y)
    assert metric.numbers["given_eps"] == 0.01 != metric.numbers["wide_eps"]
    restored.restore(metric.numbers)
    with torch.no_grad():
        model.stem[0].weight *= 10
    for each in (metric, restored):
        each.advance(0.5)
        each(model, x, Y)
    assert metric.numbers == restored.numbers


def test_a_weight_of_zero_leaves_a_metric_out():
    both = Weighted({"a": part(0.0, JacobianNorm()), "b": part(1.0, LocalRadius())})
    assert both.scale_free
    assert torch.equal(both(network(), tiny_images(), Y), LocalRadius()(network(), tiny_images(), Y))
    assert list(both.numbers) == ["score_b"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": part(-1.0, JacobianNorm())}, r"got -1.0. \(conf: parts.a.weight\)"),
        ({"a": part(float("inf"), JacobianNorm())}, "got inf"),
        ({"a": part(0.0, JacobianNorm()), "b": None}, "use `metric: none`"),
        ({"a": part(1.0, JacobianNorm()), "b": part(1.0, JacobianNorm(batch_norm="batch"))}, "one `batch_norm`"),
    ],
)
def test_bad_sums_are_refused(parts, message):
    with pytest.raises(ConfigError, match=message):
        Weighted(parts)
