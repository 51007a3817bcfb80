"""The proxies that look at perturbations, each against its formula written out."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.errors import ConfigError
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.nn.derived_cell import DerivedCell
from dsrna.nn.residual_reduction import ResidualReduction
from dsrna.proxies.croze import Croze
from dsrna.proxies.croze_paper import CrozePaper
from dsrna.proxies.curvature import Curvature
from dsrna.proxies.input_hessian import InputHessian
from dsrna.proxies.input_jacobian import InputJacobian
from dsrna.proxies.ntk import NeuralTangentKernel
from dsrna.proxies.working_copy import working_copy
from dsrna.spaces.darts.published import published
from dsrna.spaces.darts.space import DartsSpace
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.testing.proxy_networks import draw, image_batch, plain_network
from dsrna.testing.released_croze import released_croze, without_batch_norm
from dsrna.testing.tiny_networks import linear_network

X, Y = image_batch()
SINGLE = X.float()
STRING = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
KERNELS = ("clean", "cross", "robust", "cross_twice", "twice")


def smooth_network(seed=0):
    """Without BatchNorm, all images alone, with a Hessian that moves."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.Tanh(), nn.Linear(7, 3)).double()


def calibrated_copy(model, x):
    copied = working_copy(model, "calibrated")
    copied(x)
    return copied


def small_batch(count=4):
    return torch.rand(count, 3, 2, 2, generator=draw(3), dtype=torch.float64), torch.arange(count) % 3


def by_hand(model, x, *, eps, y):
    """One sign step of the loss's gradient, the whole of PGD with one step and no random start."""
    images = x.clone().requires_grad_()
    F.cross_entropy(model(images), y).backward()
    return (x + eps * images.grad.sign()).clamp(0, 1)


# --- tangent kernels


class OneStep(NeuralTangentKernel):
    """With an attack that needs no random numbers."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, eps=0.05, steps=1, **settings)
        self.attack.random_start, self.attack.step_size = False, 0.05


def kernels(model, x, y):
    """Kernel -> its matrix, one gradient after the other."""
    images = [x]
    for _ in range(2):
        images.append(by_hand(model, images[-1], eps=0.05, y=y))

    def tangent(image):
        return torch.cat([g.flatten() for g in torch.autograd.grad(model(image[None]).sum(), list(model.parameters()))])

    rows = [torch.stack([tangent(image) for image in part]) for part in images]
    pairs = {"clean": (0, 0), "cross": (0, 1), "robust": (1, 1), "cross_twice": (1, 2), "twice": (2, 2)}
    return {name: rows[a] @ rows[b].T for name, (a, b) in pairs.items()}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("statistic", ["min_eigenvalue", "condition_number", "trace"])
def test_kernels_one_image_after_the_other(kernel, statistic):
    model, (x, y) = smooth_network(), small_batch()
    matrix = kernels(model, x, y)[kernel]
    values = torch.linalg.eigvalsh((matrix + matrix.T) / 2)
    expected = {
        "min_eigenvalue": values.min(),
        "condition_number": -values.abs().max() / values.abs().min(),
        "trace": values.sum(),
    }[statistic]
    assert OneStep(kernel, statistic, chunk=3)(model, x, y) == pytest.approx(float(expected), rel=1e-8)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("kernel", "inner", "cross", "outer"), [
    ("clean_error", "clean", "cross", "robust"), ("robust_error", "robust", "cross_twice", "twice"),
])  # fmt: skip
def test_mixtures_as_equations_4_and_5(kernel, inner, cross, outer, beta):
    model, (x, y) = smooth_network(), small_batch()
    k = kernels(model, x, y)
    mixed = (1 - beta) ** 2 * k[inner] + beta * (1 - beta) * (k[cross] + k[cross].T) + beta**2 * k[outer]
    expected = torch.linalg.eigvalsh(mixed)[0]
    assert OneStep(kernel, beta=beta)(model, x, y) == pytest.approx(float(expected), rel=1e-8)


def test_the_kernel_of_a_linear_network_is_exact():
    """f(x) = W x + b with K logits: K (<x, x'> + 1)."""
    x, y = small_batch(5)
    model = linear_network(torch.randn(3, 12, generator=draw(), dtype=torch.float64))
    rows = x.flatten(1)
    expected = torch.linalg.eigvalsh(3 * (rows @ rows.T + 1))
    assert NeuralTangentKernel()(model, x, y) == pytest.approx(float(expected[0]), rel=1e-9)
    assert NeuralTangentKernel(statistic="trace")(model, x, y) == pytest.approx(float(expected.sum()), rel=1e-12)


def test_statistics_of_the_batch_are_held_constant():
    """The calibrated copy gives the logits of training mode, but an image's don't depend on the others."""
    model = plain_network().train()
    calibrated = working_copy(model, "calibrated")
    torch.testing.assert_close(calibrated(X), model(X))
    torch.testing.assert_close(calibrated(X[:2]), calibrated(X)[:2])


@pytest.mark.parametrize(("setting", "says"), [
    ({"kernel": "cleen"}, "conf: kernel"), ({"statistic": "max"}, "conf: statistic"), ({"beta": 2}, "conf: beta"),
    ({"chunk": 0}, "conf: chunk"), ({"steps": 0}, "conf: steps"), ({"eps": 8}, "did you mean 8/255"),
])  # fmt: skip
def test_wrong_settings_of_the_kernel(setting, says):
    with pytest.raises(ConfigError, match=says):
        NeuralTangentKernel(**setting)


# --- derivatives in the images


def full_jacobian(model, image):
    return torch.autograd.functional.jacobian(lambda one: model(one[None])[0], image).flatten(1)


def test_jacobian_against_torch():
    model = plain_network()
    calibrated = calibrated_copy(model, X)
    found = [full_jacobian(calibrated, image) for image in X]
    expected = torch.stack([matrix.square().sum().sqrt() for matrix in found]).mean()
    assert InputJacobian()(model, X, Y) == pytest.approx(-expected.item(), rel=1e-9)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_jacobian_norms_are_the_metrics(norm):
    model, (x, y) = smooth_network(), small_batch()
    expected = JacobianNorm(norm)(model, x, y).mean()
    assert InputJacobian(norm)(model, x, y) == pytest.approx(expected.item(), rel=1e-10)


def largest(model, x, y):
    def loss(image, label):
        return F.cross_entropy(model(image.view(1, *x.shape[1:])), label[None])

    matrices = [
        torch.autograd.functional.hessian(lambda flat, label=label: loss(flat, label), image.flatten())
        for image, label in zip(x, y, strict=True)
    ]
    return torch.stack([torch.linalg.eigvalsh(matrix)[-1] for matrix in matrices])


@pytest.mark.parametrize("build", [smooth_network, plain_network])
def test_hessian_against_the_full_one(build):
    model = build()
    x, y = small_batch() if build is smooth_network else image_batch(3, size=4)
    expected = largest(calibrated_copy(model, x), x, y).mean()
    assert InputHessian(steps=12)(model, x, y, draw()) == pytest.approx(-expected.item(), rel=1e-6)
    few = InputHessian(steps=2)(model, x, y, draw())
    assert few >= -expected.item() * (1 + 1e-9), "Lanczos comes from below"


@pytest.mark.parametrize("scale", [1e-16, 1e-30])
def test_a_hessian_of_tiny_logits(scale):
    model, (x, y) = smooth_network(), small_batch()
    with torch.no_grad():
        model[3].weight *= scale
    expected = largest(model, x, y).mean()
    assert InputHessian(steps=12)(model, x, y, draw()) == pytest.approx(-expected.item(), rel=1e-6, abs=0)


@pytest.mark.parametrize("scale", [1e-12, 1e-20])
def test_the_papers_croze_knows_no_smallest_gradient(scale):
    """Tiny weights in the last layer make the gradients of the others tiny; cosines don't depend on it, nor on 2^k."""
    found = []
    for factor in (scale, scale * 2.0**-30):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3, bias=False)).double()
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
            model[3].weight *= factor
        x = torch.rand(4, 3, 4, 4, generator=draw(3), dtype=torch.float64)
        found.append(CrozePaper(learning_rate=0.0)(model, x, torch.arange(4) % 3))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_a_hessian_of_negative_eigenvalues_alone():
    """log-concave in the images: a loss -sum x^2 / 2 has -1 everywhere; exhausted directions must not count as 0."""

    class Concave(nn.Module):
        def forward(self, x):
            f = -x.flatten(1).square().sum(dim=1)
            return torch.stack([torch.zeros_like(f), f, f], dim=1)

    x = torch.full((2, 3, 2, 2), 1e-3, dtype=torch.float64)
    y = torch.zeros(2, dtype=torch.int64)
    expected = largest(Concave(), x, y).mean().item()
    assert expected < 0
    assert InputHessian(steps=5)(Concave(), x, y, draw()) == pytest.approx(-expected, rel=1e-4)


def test_curvature_of_a_quadratic():
    """For a small step it is ||H z||, whatever the network."""
    model, (x, y) = smooth_network(), small_batch(1)
    images = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(F.cross_entropy(model(images), y), images, create_graph=True)
    z = g.detach().sign() / g.detach().sign().norm()
    (product,) = torch.autograd.grad(g, images, z)
    assert Curvature(step=1e-5)(model, x, y) == pytest.approx(-product.norm().item(), rel=1e-4)


def test_curvature_at_a_finite_step():
    model, (x, y) = smooth_network(), small_batch()

    def gradient(image, label):
        image = image.clone().requires_grad_()
        F.cross_entropy(model(image[None]), label[None]).backward()
        return image.grad

    lengths = []
    for image, label in zip(x, y, strict=True):
        g = gradient(image, label)
        moved = gradient(image + 1.5 * g.sign() / g.sign().norm(), label)
        lengths.append((moved - g).norm().item() / 1.5)
    assert Curvature()(model, x, y) == pytest.approx(-sum(lengths) / len(lengths), rel=1e-9)


# --- CRoZe


def cosine(a, b, dim=0):
    """With the same floor under lengths as torch's."""
    lengths = a.norm(dim=dim).clamp(min=1e-8) * b.norm(dim=dim).clamp(min=1e-8)
    return (a * b).sum(dim=dim) / lengths


@pytest.mark.parametrize("cells", [1, 2])
def test_croze_is_the_released_procedure_on_nasbench201(cells):
    torch.manual_seed(0)
    space = Nasbench201Space()
    model = space.network(space.genotype(STRING), (3, 8, 8), 3, cells=cells, channels=4, mean=(0.5,) * 3)
    points = ["stem", f"blocks.{cells}", f"blocks.{2 * cells + 1}", f"blocks.{3 * cells + 1}"]
    bare = without_batch_norm(model, keep=[ResidualReduction])
    expected = released_croze(bare, SINGLE, Y, DerivedCell, cells, points)
    assert Croze()(model, SINGLE, Y) == pytest.approx(expected, rel=1e-4)
    assert Croze()(model.double(), SINGLE.double(), Y) == pytest.approx(expected, rel=1e-9)


def test_croze_is_the_released_procedure_on_darts():
    torch.manual_seed(0)
    model = DartsSpace().network(published("DARTS_V2"), (3, 8, 8), 3, cells=3, channels=4)
    points = ["stem", "cells.0", "cells.1", "cells.2"]
    expected = released_croze(without_batch_norm(model), SINGLE, Y, DerivedCell, 1, points)
    assert Croze()(model, SINGLE, Y) == pytest.approx(expected, rel=1e-4)
    assert Croze()(model.double(), SINGLE.double(), Y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("factor", [3.0, 30.0, 1e3, 1e5])
def test_croze_of_networks_that_grow_beyond_single_precision(factor):
    """Larger weights, and the same procedure, which is in double precision: 1e5 amplifies features by 1e80.

    In single precision, rounding may turn the sign of an image gradient that is nearly 0.
    """
    torch.manual_seed(0)
    space = Nasbench201Space()
    model = space.network(space.genotype(STRING), (3, 8, 8), 3, cells=2, channels=4)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.mul_(factor)
    bare, points = without_batch_norm(model, keep=[ResidualReduction]), ["stem", "blocks.2", "blocks.5", "blocks.7"]
    expected = released_croze(bare, SINGLE, Y, DerivedCell, 2, points)
    assert Croze()(model, SINGLE, Y) == pytest.approx(expected, rel=1e-3)
    assert Croze()(model.double(), SINGLE.double(), Y) == pytest.approx(expected, rel=1e-12)


def test_croze_by_the_papers_equations():
    """On a network without BatchNorm, equation by equation."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)
    ).double()
    radius, eps, rate = 0.1, 0.03, 0.5
    layers = (0, 2, 5)

    def gradients(network, x):
        F.cross_entropy(network(x), Y).backward()
        found = {m: network[m].weight.grad.clone() for m in layers}
        network.zero_grad()
        return found

    robust = copy.deepcopy(model)
    g = gradients(copy.deepcopy(model), X)
    with torch.no_grad():
        for m in layers:  # Eq. 3
            robust[m].weight += radius * robust[m].weight.norm() * g[m] / g[m].norm()
    moved = by_hand(robust, X, eps=eps, y=Y)  # Eq. 4
    robust.zero_grad()
    gr = gradients(robust, moved)
    total = 0.0
    for m in layers:
        z, zr = model[: m + 1](X).flatten(1), robust[: m + 1](moved).flatten(1)  # Eq. 5
        p = cosine((model[m].weight - rate * g[m]).flatten(), (robust[m].weight - rate * gr[m]).flatten())  # 6-8
        total += (cosine(z, zr, dim=1).mean() * p * cosine(g[m].flatten(), gr[m].flatten()).abs()).item()  # 9, 10
    assert CrozePaper(radius, eps, rate)(model, X, Y) == pytest.approx(total, rel=1e-9)
