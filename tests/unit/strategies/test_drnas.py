"""DrNAS against the moments of Dirichlet distributions, their derivatives, and scipy's distribution functions."""

import pytest
import torch
from scipy import stats

from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.dirichlet import dirichlet_draw, dirichlet_sample
from dsrna.strategies.drnas import Drnas

SPACE = Nasbench201Space()
ROUNDS = 100_000


def rows(concentration, kept=None):
    """Many draws of one distribution at once: concentrations (ROUNDS, O), which operations are kept, the draws."""
    many = torch.tensor(concentration, dtype=torch.float64).repeat(ROUNDS, 1).requires_grad_()
    kept = torch.tensor(kept or [True] * len(concentration)).repeat(ROUNDS, 1)
    return many, kept, dirichlet_draw(many, kept, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("concentration", [[0.3, 1.0, 2.5], [5.0, 0.05, 1.0], [1.0, 1.0, 1.0]])
def test_moments_and_their_derivatives(concentration):
    """E x = c / s, E x^2 = c (c + 1) / (s (s + 1)); the mean derivative of sum v x^2 is that of its expectation."""
    many, kept, draw = rows(concentration)
    values = torch.tensor([0.7, -1.3, 2.0], dtype=torch.float64)
    c = torch.tensor(concentration, dtype=torch.float64, requires_grad=True)
    second = c * (c + 1) / (c.sum() * (c.sum() + 1))
    torch.testing.assert_close(draw.mean(0), (c / c.sum()).detach(), atol=5e-3, rtol=0)
    torch.testing.assert_close((draw**2).mean(0), second.detach(), atol=5e-3, rtol=0)
    (expected,) = torch.autograd.grad((values * second).sum(), c)
    (found,) = torch.autograd.grad((dirichlet_sample(many, kept, draw) ** 2 @ values).mean(), many)
    torch.testing.assert_close(found.sum(0), expected, atol=8e-3, rtol=0.03)


def test_the_derivative_of_two_operations_is_that_of_the_beta_distribution_function():
    """dx/dc = -(dF/dc) / f at the draw, by central differences of scipy's distribution function."""
    concentration = torch.tensor([[0.7, 2.0], [3.0, 1.5], [1.2, 0.4]], dtype=torch.float64, requires_grad=True)
    kept = torch.ones(3, 2, dtype=torch.bool)
    draw = dirichlet_draw(concentration, kept, torch.Generator().manual_seed(4))
    (found,) = torch.autograd.grad(dirichlet_sample(concentration, kept, draw)[:, 0].sum(), concentration)
    for (a, b), x, slope in zip(concentration.tolist(), draw[:, 0].tolist(), found.tolist(), strict=True):
        step, density = 1e-5, stats.beta.pdf(x, a, b)
        by_a = (stats.beta.cdf(x, a + step, b) - stats.beta.cdf(x, a - step, b)) / (2 * step)
        by_b = (stats.beta.cdf(x, a, b + step) - stats.beta.cdf(x, a, b - step)) / (2 * step)
        assert slope == pytest.approx([-by_a / density, -by_b / density], rel=2e-3)


def test_a_dropped_operation_leaves_the_dirichlet_of_the_others():
    many, kept, draw = rows([0.8, 3.0, 1.5], [True, False, True])
    assert bool((draw[:, 1] == 0).all())
    torch.testing.assert_close(draw[:, 0].mean().item(), 0.8 / 2.3, atol=4e-3, rtol=0)
    (found,) = torch.autograd.grad(dirichlet_sample(many, kept, draw)[:, 0].mean(), many)
    torch.testing.assert_close(found.sum(0), torch.tensor([1.5, 0.0, -0.8]).double() / 2.3**2, atol=3e-3, rtol=0.02)


def test_alphas_far_below_zero_give_one_operation_by_its_share():
    """Concentrations c -> 0: one-hot draws with the probabilities c / s, finite derivatives."""
    *_, draw = rows([1e-6, 3e-6, 1e-30])
    assert float(draw.max(1).values.min()) > 0.999
    torch.testing.assert_close(draw.mean(0), torch.tensor([0.25, 0.75, 0.0]).double(), atol=5e-3, rtol=0)
    architecture = Drnas().initial(SPACE)
    with torch.no_grad():
        architecture.alphas["cell"].fill_(-200.0)
        architecture.alphas["cell"][:, 2] = -20.0
    architecture.begin_step(0.0, torch.Generator().manual_seed(0))
    for weights in (architecture(), architecture.expected()):
        torch.testing.assert_close(weights["cell"].operations[:, 2], torch.ones(6))


def test_the_gradient_of_a_step_reaches_the_alphas():
    """forward() is the draw at elu(alpha) + 1; its gradient goes through torch's own derivative and that of elu."""
    architecture = Drnas(init_scale=1.0).initial(SPACE, torch.Generator().manual_seed(1)).double()
    alphas = architecture.alphas["cell"]
    architecture.begin_step(0.2, torch.Generator().manual_seed(2))
    x = architecture()["cell"].operations
    values = torch.rand(6, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (found,) = torch.autograd.grad((x * values).sum(), alphas)
    c = torch.nn.functional.elu(alphas.detach()) + 1
    torch.testing.assert_close(x, dirichlet_draw(c, torch.ones(6, 5).bool(), torch.Generator().manual_seed(2)))
    slope = torch._dirichlet_grad(x.detach(), c, c.sum(1, keepdim=True).expand(6, 5).contiguous())
    by_c = slope * (values - (x.detach() * values).sum(1, keepdim=True))
    torch.testing.assert_close(found, by_c * alphas.detach().clamp(max=0).exp())
    torch.testing.assert_close(architecture.expected()["cell"].operations, c / c.sum(1, keepdim=True))
