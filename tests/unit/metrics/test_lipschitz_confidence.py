"""RACL's confidence against draws of the operation weights, and its constants against how far logits do move."""

import math

import pytest
import torch
from torch import nn

from dsrna.bounds.lipschitz import LipschitzGain
from dsrna.errors import ConfigError, UnsupportedError
from dsrna.metrics.lipschitz_confidence import LipschitzConfidence
from dsrna.nn.modes import evaluation_mode
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.darts import Darts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.testing.metric_conformance import check_metric
from dsrna.testing.tiny_networks import TinyMixedNetwork, linear_network, tiny_images

Y = torch.tensor([0, 1, 2, 0])
SPACES = {"darts": DartsSpace(nodes=2), "nasbench201": Nasbench201Space()}


def mixed():
    return TinyMixedNetwork(readout=lambda state: state)


def operator_norm(weight, norm):
    """Of a matrix or kernel: the largest row sum of |W|; in l_2 its bound by row and column sums."""
    sizes = weight.abs().flatten(2).sum(2) if weight.ndim == 4 else weight.abs()
    rows, columns = sizes.sum(1).max(), sizes.sum(0).max()
    return rows if norm == "linf" else (rows * columns).sqrt()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_conforms(norm):
    metric = LipschitzConfidence(norm, spread=0.7)

    def on_linear(weight, bias, x, y):
        room = (metric.numbers["log_bound"] - operator_norm(weight, norm).log()) / 0.7
        return torch.special.log_ndtr(room).expand(len(x))

    check_metric(metric, on_linear, mixed)


def factors(model):
    """(stem, [(convolution, pooling) of each edge], classifier): norms in l_inf, by hand."""

    def scale(layer):
        return (layer.running_var + layer.eps).rsqrt() * (1 if layer.weight is None else layer.weight.abs())

    stem = operator_norm(model.stem[0].weight, "linf") * scale(model.stem[1]).max()
    edges = [
        (operator_norm(conv[1].weight, "linf") * scale(conv[2]).max(), scale(pool[1]).max())
        for conv, pool in zip(model.convolutions, model.poolings, strict=True)
    ]
    return stem, edges, operator_norm(model.classifier.weight, "linf")


@pytest.mark.parametrize("spread", [0.2, 0.4])
@torch.no_grad()
def test_the_confidence_is_that_of_drawn_operation_weights(spread):
    model, draw = mixed().eval(), torch.Generator().manual_seed(0)
    for (conv, pool), layers in zip(factors(model)[1], model.convolutions, strict=True):
        layers[1].weight.mul_(pool / conv)  # so that no term outweighs the others
    stem, edges, classifier = factors(model)

    def noise(count=200_000):
        return (spread * torch.randn(count, generator=draw, dtype=torch.float64)).exp()

    constants = noise() * stem * classifier
    for weights, (conv, pool) in zip(model.alphas.softmax(1), edges, strict=True):
        constants = constants * (weights[0] * noise() * conv + weights[1] * noise() * pool + weights[2] * noise())
    for share in (0.1, 0.5, 0.9):
        bound = constants.quantile(share).item()
        found = LipschitzConfidence("linf", bound, spread)(model, tiny_images(), Y)
        assert found.exp().tolist() == pytest.approx([share] * 4, abs=0.02)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("space", "partial", "edge_weights"), [("darts", 2, True), ("nasbench201", 1, False)])
def test_logits_never_move_further_than_the_constant_says(space, partial, edge_weights, norm):
    torch.manual_seed(0)
    sizes = {"cells": 3 if space == "darts" else 1, "channels": 4, "partial_channels": partial}
    supernet = SPACES[space].supernet((1, 8, 8), 3, **sizes)
    strategy = Darts(0.5, edge_normalization=edge_weights)
    model = RelaxedSupernet(supernet, strategy.initial(SPACES[space], torch.Generator().manual_seed(1))).double()
    draw = torch.Generator().manual_seed(2)
    model(torch.rand(32, 1, 8, 8, generator=draw).double())  # running statistics
    x = torch.rand(16, 1, 8, 8, generator=draw).double().requires_grad_()
    with evaluation_mode(model):
        gain = model(LipschitzGain.of_images(x, norm, 1e-9))
        rows = [torch.autograd.grad(f.sum(), x, retain_graph=True)[0].flatten(1) for f in model(x).unbind(1)]
    jacobians = torch.stack(rows, dim=1)
    order = math.inf if norm == "linf" else 2
    reached = torch.linalg.matrix_norm(jacobians, ord=order).max()
    assert gain.shape == (1, 3)
    assert reached < gain.log_mean.exp()
    alphas = [*model.architecture.alphas.values()]
    gradients = torch.autograd.grad(LipschitzConfidence(norm)(model, x.detach(), torch.zeros(16).long()).sum(), alphas)
    assert all(bool((gradient != 0).any()) for gradient in gradients)


@pytest.mark.parametrize(("norm", "gain"), [("linf", 1.0), ("l2", 2.0)])
@torch.no_grad()
def test_pooling_and_copies_in_closed_form(norm, gain):
    x = LipschitzGain.of_images(torch.rand(1, 2, 6, 6).double(), norm, 1e-9)

    def constant(found):
        return found.log_mean.exp().item()

    pooled = torch.nn.functional.max_pool2d(x, 3, 2, 1)
    assert pooled.shape == (1, 2, 3, 3)
    assert constant(pooled) == pytest.approx(gain)  # a value is in up to four windows
    assert constant(torch.nn.functional.avg_pool2d(x, 2, 2)) == pytest.approx(1.0 if norm == "linf" else 0.5)
    assert constant(x.repeat(1, 4, 1, 1)) == pytest.approx(gain)
    assert constant(torch.cat([x, x, x, x], 1)) == pytest.approx(gain)
    assert constant(x + x) == pytest.approx(2.0)
    assert constant(x * -3.0 + 1.0) == pytest.approx(3.0)


def test_the_bound_is_the_first_median_and_is_remembered():
    x, metric = tiny_images(), LipschitzConfidence()
    assert metric.numbers == {}
    weight = torch.randn(3, 72, generator=torch.Generator().manual_seed(0)).double()
    assert metric(linear_network(weight), x, Y).exp().tolist() == pytest.approx([0.5] * 4)
    again = LipschitzConfidence()
    again.restore(metric.numbers)
    assert torch.equal(again(linear_network(2 * weight), x, Y), metric(linear_network(2 * weight), x, Y))
    assert metric(linear_network(0 * weight), x, Y).tolist() == pytest.approx([0.0] * 4)


def test_what_has_no_known_constant_is_refused_with_its_place():
    with pytest.raises(UnsupportedError, match=r"convolutions.0.0 \(Softplus\)"):
        LipschitzConfidence()(TinyMixedNetwork(activation=nn.Softplus), tiny_images(), Y)


@pytest.mark.parametrize("bad", [{"norm": "l1"}, {"bound": 0.0}, {"bound": math.inf}, {"spread": 0.0}])
def test_what_is_out_of_range_is_refused(bad):
    with pytest.raises(ConfigError, match=f"conf: {next(iter(bad))}"):
        LipschitzConfidence(**bad)
