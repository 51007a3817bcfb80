"""The proxies that look at clean images, each against its formula written out."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.proxies.epe_nas import EpeNas
from dsrna.proxies.fisher import Fisher
from dsrna.proxies.flops import Flops
from dsrna.proxies.grad_norm import GradNorm
from dsrna.proxies.grasp import Grasp
from dsrna.proxies.jacov import JacobianCovariance
from dsrna.proxies.l2_norm import L2Norm
from dsrna.proxies.nwot import Nwot
from dsrna.proxies.parameters import Parameters
from dsrna.proxies.plain import Plain
from dsrna.proxies.snip import Snip
from dsrna.proxies.synflow import SynFlow
from dsrna.proxies.zen import Zen
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.testing.proxy_networks import draw, image_batch, plain_network

X, Y = image_batch()


def weight_names(model):
    return [name for name, parameter in model.named_parameters() if name.endswith("weight") and parameter.ndim > 1]


def loss_at(model, moved):
    """The mean cross-entropy with some parameters replaced, in training mode."""
    return F.cross_entropy(torch.func.functional_call(model.train(), moved, (X,)), Y)


def slopes(model):
    """dL/dW by backward()."""
    model = copy.deepcopy(model).train()
    F.cross_entropy(model(X), Y).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_grad_norm():
    model = plain_network()
    expected = sum(slopes(model)[name].square().sum().sqrt() for name in weight_names(model))
    assert GradNorm()(model, X, Y) == pytest.approx(float(expected), rel=1e-10)


def test_snip_and_plain_by_masks():
    """The sensitivity dL/dc at c = 1 where every weight is multiplied by c."""
    model = plain_network()
    parameters = dict(model.named_parameters())
    masks = {name: torch.ones_like(parameters[name], requires_grad=True) for name in weight_names(model)}
    loss = loss_at(model, {name: parameters[name].detach() * mask for name, mask in masks.items()})
    found = torch.autograd.grad(loss, list(masks.values()))
    assert Snip()(model, X, Y) == pytest.approx(sum(float(g.abs().sum()) for g in found), rel=1e-10)
    assert Plain()(model, X, Y) == pytest.approx(sum(float(g.sum()) for g in found), rel=1e-8)


def test_plain_is_zero_before_batch_norm():
    """A layer with BatchNorm after it can be scaled without changing the loss."""
    model = nn.Sequential(plain_network()[0], nn.BatchNorm2d(4, eps=1e-30), nn.Flatten()).double()
    assert Plain()(model, X, Y) == pytest.approx(0, abs=1e-10)


def test_grasp_by_finite_differences():
    """H g as the derivative of the gradient along g."""
    model = plain_network()
    names = weight_names(model)
    start = {name: parameter.detach() for name, parameter in model.named_parameters() if name in names}

    def gradient(moved):
        moved = {name: value.clone().requires_grad_() for name, value in moved.items()}
        return dict(zip(names, torch.autograd.grad(loss_at(model, moved), [moved[n] for n in names]), strict=True))

    g, step = gradient(start), 1e-6
    up = gradient({name: start[name] + step * g[name] for name in names})
    down = gradient({name: start[name] - step * g[name] for name in names})
    expected = -sum((start[name] * (up[name] - down[name]) / (2 * step)).sum() for name in names)
    assert Grasp()(model, X, Y) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("per_weight", [True, False])
def test_fisher_by_channel_gates(per_weight):
    """sum_hw A dL/dA of a channel and image is dL/dc at c = 1, c a factor of that channel of that image."""
    model, expected = plain_network().train(), 0.0
    for position, layer in enumerate(model):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            output = model[: position + 1](X).detach()
            gates = torch.ones(output.shape[:2], dtype=torch.float64, requires_grad=True)
            gated = output * gates.reshape(*output.shape[:2], *[1] * (output.ndim - 2))
            (g,) = torch.autograd.grad(F.cross_entropy(model[position + 1 :](gated), Y), gates)
            factor = layer.weight[0].numel() if per_weight else 1
            expected += factor * float(0.5 * g.square().mean(dim=0).sum())
    assert Fisher(per_weight)(model, X, Y) == pytest.approx(expected, rel=1e-10)


def test_synflow_by_all_paths():
    """On two linear layers a path's strength is |w1| |w2|, and every path counts once a layer."""
    torch.manual_seed(0)
    first, second = nn.Linear(4, 3, bias=False), nn.Linear(3, 2, bias=False)
    model = nn.Sequential(nn.Flatten(), first, nn.ReLU(), second)
    strengths = [
        abs((second.weight[k, j] * first.weight[j, i]).item()) for i in range(4) for j in range(3) for k in range(2)
    ]
    x = torch.rand(2, 1, 2, 2)
    assert SynFlow()(model, x, Y[:2]) == pytest.approx(math.log(2 * sum(strengths)), rel=1e-6)


def test_synflow_takes_batch_norm_out_and_looks_at_no_image():
    model = plain_network()
    without = nn.Sequential(*[layer for layer in model if not isinstance(layer, nn.BatchNorm2d)])
    assert SynFlow()(model, X, Y) == SynFlow()(without, X[:1] * 0, Y[:1])


def test_l2_norm():
    model = plain_network()
    expected = sum(math.sqrt((model.get_parameter(name) ** 2).sum().item()) for name in weight_names(model))
    assert L2Norm()(model, X, Y) == pytest.approx(expected, rel=1e-10)


def test_parameters_and_flops_by_hand():
    model = plain_network()
    assert Parameters()(model, X, Y) == 108 + 8 + 180 + 5 + 15 + 3
    assert Flops()(model, X, Y) == 8 * 8 * 4 * 27 + 3 * 3 * 5 * 36 + 15


def jacobians(model):
    images = X.clone().requires_grad_()
    model.train()(images).sum().backward()
    return images.grad.flatten(1).numpy()


def test_jacov_with_numpy():
    model = plain_network()
    values = np.linalg.eigvals(np.corrcoef(jacobians(model))).real
    assert JacobianCovariance()(model, X, Y) == pytest.approx(
        -np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5)), rel=1e-6
    )


def test_epe_nas_with_numpy():
    model = plain_network()
    rows = jacobians(model)
    expected = sum(abs(np.sum(np.log(np.abs(np.corrcoef(rows[Y.numpy() == c])) + 1e-5))) for c in range(3))
    assert EpeNas()(model, X, Y) == pytest.approx(expected, rel=1e-8)


def test_epe_nas_of_many_classes_compares_classes():
    model = plain_network()
    model[-1] = nn.Linear(5, 101).double()
    rows = jacobians(model)
    sums = [np.mean(np.log(np.abs(np.corrcoef(rows[Y.numpy() == c])) + 1e-5), axis=0).sum() for c in range(3)]
    expected = sum(abs(a - b) for a in sums for b in sums) / 3
    assert EpeNas()(model, X, Y) == pytest.approx(expected, rel=1e-8)


def test_nwot_by_counting():
    model = plain_network().train()
    first = model[:2](X)
    second = model[:4](X)
    on = torch.cat([first.flatten(1), second.flatten(1)], dim=1).detach() > 0
    matrix = np.array([[float((a == b).sum()) for b in on] for a in on])
    assert Nwot()(model, X, Y) == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-10)


def test_zen_of_a_network_without_batch_norm_scale():
    """With BatchNorm, scaling its input by s adds log s and leaves the features: the score counts the true scale."""
    model = plain_network()
    plain = Zen()(model, X, Y, draw())
    doubled = copy.deepcopy(model)
    doubled[0] = nn.Sequential(model[0], _Times(2.0))
    doubled[1].eps = model[1].eps = 1e-30
    assert Zen()(doubled, X, Y, draw()) - Zen()(model, X, Y, draw()) == pytest.approx(math.log(2), rel=1e-9)
    assert plain == pytest.approx(Zen()(model, X, Y, draw()), rel=1e-4)


def test_zen_of_batch_norm_with_and_without_running_statistics():
    """Against the formula, with the variances that training mode divides by."""
    source = draw(5)
    normal = lambda shape: torch.randn(shape, generator=source, dtype=torch.float64)  # noqa: E731
    weights = [normal((4, 3, 3, 3)), normal((5, 4, 3, 3))]
    images, step = normal(X.shape), normal(X.shape)
    scales = []

    def features(x, note):
        for each in weights:
            x = F.conv2d(x, each)
            variance = x.var(dim=(0, 2, 3), correction=0)
            note.append(float(variance.mean().sqrt().log()))
            x = (x - x.mean(dim=(0, 2, 3), keepdim=True)) / (variance[:, None, None] + 1e-5).sqrt()
        return x

    distances = (features(images, scales) - features(images + 0.01 * step, [])).abs().sum(dim=(1, 2, 3))
    expected = float(distances.mean().log()) + sum(scales)
    for tracked in (True, False):
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, track_running_stats=tracked),
            nn.Conv2d(4, 5, 3, bias=False), nn.BatchNorm2d(5, track_running_stats=tracked, momentum=None),
        ).double()  # fmt: skip
        assert Zen()(model, X, Y, draw(5)) == pytest.approx(expected, rel=1e-9)


def test_zen_of_one_convolution():
    """Against the formula, with the same draws in the same order."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False)).double()
    source = draw(5)
    normal = lambda shape: torch.randn(shape, generator=source, dtype=torch.float64)  # noqa: E731
    weight, images, step = normal(model[0].weight.shape), normal(X.shape), normal(X.shape)
    distances = (F.conv2d(images, weight) - F.conv2d(images + 0.01 * step, weight)).abs().sum(dim=(1, 2, 3))
    assert Zen()(model, X, Y, draw(5)) == pytest.approx(float(distances.mean().log()), rel=1e-9)


def test_zen_leaves_out_a_batch_norm_behind_none():
    """Its variance is 0, which no scale was taken away by; published architecture 10117 has such a branch."""
    space = Nasbench201Space()
    network = space.network(space.genotype(10117), (3, 8, 8), 4, cells=1, channels=4)
    assert math.isfinite(Zen()(network, torch.rand(2, 3, 8, 8), torch.tensor([0, 1]), draw(0)))
    alive = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)).double()
    with_dead_branch = nn.Sequential(*alive, _DeadBranch().double())
    assert Zen()(with_dead_branch, X, Y, draw(5)) == Zen()(alive, X, Y, draw(5))


class _DeadBranch(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        return x + self.norm(0 * x)


class _Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


@pytest.mark.parametrize(
    ("side", "classes", "flops", "parameters"),
    [(32, 10, 113.95, 0.802), (32, 100, 113.96, 0.808), (16, 120, 28.50, 0.810)],
)
def test_sizes_of_a_cell_as_nats_bench_publishes_them(side, classes, flops, parameters):
    space = Nasbench201Space()
    cell = space.genotype(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
    )
    model = space.network(cell, (3, side, side), classes, cells=5, channels=16)
    x, y = torch.rand(1, 3, side, side), torch.zeros(1, dtype=torch.int64)
    assert Flops()(model, x, y) / 1e6 == pytest.approx(flops, abs=0.01)
    assert Parameters()(model, x, y) / 1e6 == pytest.approx(parameters, abs=0.0005)
