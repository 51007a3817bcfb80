"""Hypergradients, exact on a quadratic, and against a functional look-ahead on a small network."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dsrna.errors import ConfigError, UnsupportedError
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.strategies.first_order import FirstOrder
from dsrna.strategies.hypergradient import InnerStep
from dsrna.strategies.unrolled import Unrolled
from dsrna.testing.tiny_networks import TinyMixedNetwork, tiny_images

UNROLLED = [Unrolled("exact"), Unrolled("finite_difference")]


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Quadratic:
    """L_train = w'Aw/2 - w'Ba and L_val = |w - c|^2/2 + a'Da/2, with w in two parts and a in two parts."""

    def __init__(self, curvature=None):
        factor = normal(5, 5, seed=0)
        self.A = factor @ factor.T if curvature is None else curvature
        self.B, self.c, self.D = normal(5, 4, seed=1), normal(5, seed=2), torch.diag(normal(4, seed=3))
        self.weights = [nn.Parameter(normal(2, seed=4)), nn.Parameter(normal(3, 1, seed=5))]
        self.alphas = [nn.Parameter(normal(3, seed=6)), nn.Parameter(normal(1, 1, seed=7))]

    def w(self):
        return torch.cat([part.flatten() for part in self.weights])

    def a(self):
        return torch.cat([part.flatten() for part in self.alphas])

    def train(self):
        return self.w() @ self.A @ self.w() / 2 - self.w() @ self.B @ self.a()

    def val(self):
        return (self.w() - self.c).square().sum() / 2 + self.a() @ self.D @ self.a() / 2

    def take(self, hypergradient, inner):
        return hypergradient(self.val, self.train, self.alphas, self.weights, inner)


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


@pytest.mark.parametrize("hypergradient", UNROLLED)
def test_unrolled_is_exact_on_a_quadratic_with_momentum_and_weight_decay(hypergradient):
    problem, xi, momentum, decay = Quadratic(), 0.07, 0.9, 0.03
    buffers = [normal(2, seed=8), normal(3, 1, seed=9)]
    w, a = problem.w().detach(), problem.a().detach()
    gradient = problem.A @ w - problem.B @ a
    ahead = w - xi * (momentum * flat(buffers) + gradient + decay * w)
    expected = problem.D @ a + xi * problem.B.T @ (ahead - problem.c)
    found = problem.take(hypergradient, InnerStep(xi, momentum, decay, buffers))
    torch.testing.assert_close(flat(found.gradients), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.loss, (ahead - problem.c).square().sum() / 2 + a @ problem.D @ a / 2)
    assert [gradient.shape for gradient in found.gradients] == [alpha.shape for alpha in problem.alphas]
    assert not found.loss.requires_grad


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("hypergradient", UNROLLED)
def test_unrolled_is_linear_in_the_validation_loss(hypergradient, scale):
    """However small: a floor or a square that vanishes would cut the way through the weights."""
    problem, inner = Quadratic(), InnerStep(0.07)
    expected = flat(problem.take(hypergradient, inner).gradients)
    found = hypergradient(lambda: scale * problem.val(), problem.train, problem.alphas, problem.weights, inner)
    torch.testing.assert_close(flat(found.gradients) / scale, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("hypergradient", UNROLLED)
def test_one_step_that_reaches_the_minimum_gives_the_bilevel_gradient(hypergradient):
    problem = Quadratic(curvature=torch.eye(5, dtype=torch.float64))

    def outer(a):
        return (problem.B @ a - problem.c).square().sum() / 2 + a @ problem.D @ a / 2

    a = problem.a().detach().requires_grad_()
    (expected,) = torch.autograd.grad(outer(a), a)
    found = problem.take(hypergradient, InnerStep(1.0))
    torch.testing.assert_close(flat(found.gradients), expected, rtol=1e-9, atol=1e-9)


def test_first_order_holds_the_weights_fixed():
    problem = Quadratic()
    found = problem.take(FirstOrder(), InnerStep(0.1))
    torch.testing.assert_close(flat(found.gradients), problem.D @ problem.a().detach())
    torch.testing.assert_close(found.loss, problem.val().detach())


def network_problem():
    model = TinyMixedNetwork(activation=nn.Tanh).eval()
    weights = [parameter for name, parameter in model.named_parameters() if name != "alphas"]
    metric = JacobianNorm("l2")

    def loss(seed):
        x, y = tiny_images(6, seed), torch.tensor([0, 1, 2, 0, 1, 2])
        return lambda: F.cross_entropy(model(x), y)

    def objective():
        x = tiny_images(4, 3)
        return loss(1)() - 0.1 * metric(model, x, torch.zeros(4, dtype=torch.int64)).mean()

    return model, weights, objective, loss(2)


def test_unrolled_looks_ahead_with_the_robustness_metric_as_well():
    """Against the same look-ahead by finite differences in the alphas, with real weight steps."""
    model, weights, objective, training_loss = network_problem()
    xi, step = 0.3, 1e-5

    def ahead(alphas):
        own, own_alphas = [weight.detach().clone() for weight in weights], model.alphas.detach().clone()
        with torch.no_grad():
            model.alphas.copy_(alphas)
        gradients = torch.autograd.grad(training_loss(), weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= xi * gradient
        value = objective().item()
        with torch.no_grad():
            model.alphas.copy_(own_alphas)
            for weight, before in zip(weights, own, strict=True):
                weight.copy_(before)
        return value

    expected = torch.zeros_like(model.alphas)
    for index in range(6):
        move = torch.zeros(6, dtype=torch.float64)
        move[index] = step
        alphas, move = model.alphas.detach(), move.view(2, 3)
        expected.view(-1)[index] = (ahead(alphas + move) - ahead(alphas - move)) / (2 * step)
    exact, differences = (
        rule(objective, training_loss, [model.alphas], weights, InnerStep(xi)).gradients[0] for rule in UNROLLED
    )
    first_order = FirstOrder()(objective, training_loss, [model.alphas], weights, InnerStep(xi)).gradients[0]
    torch.testing.assert_close(exact, expected.detach(), rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(differences, exact, rtol=1e-2, atol=1e-4)
    assert (first_order - exact).norm() > 0.05 * exact.norm()


@pytest.mark.parametrize("hypergradient", [FirstOrder(), *UNROLLED])
def test_nothing_is_changed(hypergradient):
    model, weights, objective, training_loss = network_problem()
    weights[0].grad = torch.ones_like(weights[0])
    buffers = [torch.ones_like(weight) for weight in weights]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    hypergradient(objective, training_loss, [model.alphas], weights, InnerStep(0.3, 0.9, 0.01, buffers))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(bool((buffer == 1).all()) for buffer in buffers)
    assert bool((weights[0].grad == 1).all())
    assert all(tensor.grad is None for tensor in (model.alphas, *weights[1:]))


@pytest.mark.parametrize("hypergradient", UNROLLED)
@pytest.mark.parametrize("failing_call", [1, 2, 3])
def test_an_error_in_the_middle_leaves_the_weights_as_they_were(hypergradient, failing_call):
    problem, calls = Quadratic(), []
    before = flat(problem.weights)

    def counted(loss):
        def call():
            calls.append(loss)
            if len(calls) == failing_call:
                raise ZeroDivisionError
            return loss()

        return call

    with pytest.raises(ZeroDivisionError):
        hypergradient(counted(problem.val), counted(problem.train), problem.alphas, problem.weights, InnerStep(0.1))
    assert torch.equal(flat(problem.weights), before)


@pytest.mark.parametrize("hypergradient", [FirstOrder(), *UNROLLED])
def test_untouched_alphas_get_zeros(hypergradient):
    problem = Quadratic()
    idle = nn.Parameter(normal(2, 2, seed=10))
    found = hypergradient(problem.val, problem.train, [*problem.alphas, idle], problem.weights, InnerStep(0.1))
    assert torch.equal(found.gradients[-1], torch.zeros(2, 2, dtype=torch.float64))
    assert bool((found.gradients[0] != 0).all())
    constant = hypergradient(
        lambda: torch.zeros(()), lambda: torch.zeros(()), problem.alphas, problem.weights, InnerStep(0.1)
    )
    assert torch.equal(flat(constant.gradients), torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_inner_step_is_the_step_that_sgd_takes_next(momentum):
    problem = Quadratic()
    optimizer = torch.optim.SGD(problem.weights, lr=0.01, momentum=momentum, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        problem.train().backward()
        inner = InnerStep.of(optimizer, problem.weights)
        ahead = inner.moved(problem.weights, [weight.grad for weight in problem.weights])
        optimizer.step()
        torch.testing.assert_close(flat(ahead), flat(problem.weights), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "build",
    [
        lambda weights: torch.optim.Adam(weights, lr=0.01, weight_decay=0.1),
        lambda weights: torch.optim.SGD(weights, lr=0.01, momentum=0.9, nesterov=True),
    ],
)
def test_other_optimisers_look_ahead_with_a_plain_gradient_step(build):
    problem = Quadratic()
    assert InnerStep.of(build(problem.weights), problem.weights) == InnerStep(0.01)


def test_several_parameter_groups_are_refused():
    problem = Quadratic()
    groups = [{"params": [weight]} for weight in problem.weights]
    with pytest.raises(UnsupportedError, match="one parameter group in the weights' optimiser, got 2"):
        InnerStep.of(torch.optim.SGD(groups, lr=0.1), problem.weights)


def test_an_unknown_derivative_is_refused():
    with pytest.raises(ConfigError, match="'exact' or 'finite_difference', got 'guess'"):
        Unrolled("guess")


@pytest.mark.parametrize("hypergradient", [FirstOrder(), *UNROLLED])
def test_terms_one_by_one_give_the_gradient_of_their_sum(hypergradient):
    problem = Quadratic()
    alive = []

    def terms():
        for factor in (0.25, 0.75):
            assert not alive  # the term before has been differentiated and let go
            term = factor * problem.val()
            alive.append(None)
            term.register_hook(lambda gradient: alive.pop() if alive else None)
            yield term

    inner = InnerStep(0.1, 0.9, 0.01, [torch.ones_like(weight) for weight in problem.weights])
    whole = hypergradient(problem.val, problem.train, problem.alphas, problem.weights, inner)
    parts = hypergradient(terms, problem.train, problem.alphas, problem.weights, inner)
    torch.testing.assert_close(parts.loss, whole.loss)
    torch.testing.assert_close(parts.gradients, whole.gradients)
