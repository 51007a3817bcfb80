"""How a metric joins the loss, against closed forms, a search over all combinations, and both hypergradients."""

import pytest
import torch
from torch import nn

from dsrna.errors import ConfigError
from dsrna.strategies.first_order import FirstOrder
from dsrna.strategies.hypergradient import InnerStep, Weighed, objective_gradients
from dsrna.strategies.metric_join import Balanced, Fixed, MinNorm, Multiplier
from dsrna.strategies.unrolled import Unrolled

GAMMA = 0.3


def drawn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def two_gradients(seed=0):
    """In two tensors each, as of the alphas of two cell types."""
    return [drawn(2, 3, seed=seed), drawn(4, seed=seed + 1)], [3 * drawn(2, 3, seed=seed + 2), drawn(4, seed=seed + 3)]


def flat(gradients):
    return torch.cat([gradient.flatten() for gradient in gradients])


def test_fixed_is_the_published_sum():
    assert Fixed().weights(*two_gradients(), GAMMA) == (1.0, GAMMA)


def test_balanced_gives_the_metric_its_share_whatever_its_units():
    loss, metric = two_gradients()
    for unit in (1.0, 1e6, 1e-6):
        a, b = Balanced().weights(loss, [unit * gradient for gradient in metric], GAMMA)
        assert a == 1.0
        assert b * unit * float(flat(metric).norm()) == pytest.approx(GAMMA * float(flat(loss).norm()), rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_min_norm_is_the_shortest_of_all_convex_combinations(seed):
    loss, metric = two_gradients(seed)
    a, b = MinNorm().weights(loss, metric, GAMMA)
    shares = torch.linspace(0, 1, 10_001, dtype=torch.float64)[:, None]
    lengths = (shares * flat(loss) + (1 - shares) * GAMMA * flat(metric)).norm(dim=1)
    assert float((a * flat(loss) + b * flat(metric)).norm()) <= float(lengths.min()) * (1 + 1e-9)
    assert a + b / GAMMA == pytest.approx(1)


def test_min_norm_stays_between_the_two():
    """Where one is the shortest itself, it alone is taken; of equal lengths it is always their mean."""
    long, short = [torch.tensor([3.0, 1.0])], [torch.tensor([1.0, 0.0])]
    assert MinNorm().weights(long, short, 1.0) == (0.0, 1.0)
    assert MinNorm().weights(short, long, 1.0) == (1.0, 0.0)
    for seed in range(5):
        units = [[gradient / gradient.norm()] for gradient in (drawn(5, seed=seed), drawn(5, seed=seed + 50))]
        assert MinNorm().weights(*units, 1.0) == pytest.approx((0.5, 0.5))


def test_the_multiplier_grows_above_the_reference_and_never_falls_below_zero():
    join = Multiplier(reference=1.0, rate=0.5)
    found = []
    for loss in (3.0, 2.0, 0.5, 0.1, 0.1, 0.1, 0.1, 1.2):
        found.append(join.weights(*two_gradients(), GAMMA))
        join.observe(loss)
    assert [a for a, _ in found] == pytest.approx([1.0, 2.0, 2.5, 2.25, 1.8, 1.35, 1.0, 1.0])
    assert {b for _, b in found} == {GAMMA}
    again = Multiplier(reference=1.0, rate=0.5)
    again.load_state(join.state())
    assert again.weights(*two_gradients(), GAMMA)[0] == pytest.approx(1.1)


def test_numbers_say_how_the_two_compare():
    loss, metric = [torch.tensor([3.0, 4.0])], [torch.tensor([0.0, -2.0])]
    join = Balanced()
    join.weights(loss, metric, 0.5)
    assert join.numbers == pytest.approx({"loss_gradient": 5, "metric_gradient": 2, "cosine": -0.8, "gamma": 1.25})


@pytest.mark.parametrize("join", [Fixed, Balanced, MinNorm])
def test_gradients_of_zeros_do_no_harm(join):
    zero, one = [torch.zeros(2)], [torch.ones(2)]
    for pair in ((zero, one), (one, zero), (zero, zero)):
        weights = join().weights(*pair, 1.0)
        assert all(0 <= weight <= 1 for weight in weights)


@pytest.mark.parametrize(
    "settings", [{"reference": None}, {"reference": 0.0}, {"reference": 1.0, "rate": 0.0}, {"reference": float("nan")}]
)
def test_a_multiplier_without_a_reference_is_refused(settings):
    with pytest.raises(ConfigError, match=r"reference|rate"):
        Multiplier(**settings)


@pytest.mark.parametrize("hypergradient", [FirstOrder(), Unrolled("exact"), Unrolled("finite_difference")])
@pytest.mark.parametrize("join", [Fixed(), Balanced(), MinNorm()], ids=lambda join: type(join).__name__)
def test_hypergradients_go_down_the_joined_sum(hypergradient, join):
    """As of one loss a L + b M + P, with a and b from the gradients where the hypergradient looks."""
    alphas, weights = [nn.Parameter(drawn(3, seed=0))], [nn.Parameter(drawn(4, seed=1))]
    mixed = drawn(3, 4, seed=2)

    def loss():
        return (alphas[0] @ mixed @ weights[0]).square() + weights[0].square().sum()

    def metric():
        return (alphas[0] @ mixed @ weights[0]).sin() + alphas[0].square().sum()

    def penalty():
        return alphas[0].exp().sum()

    def training():
        return (alphas[0] @ mixed @ weights[0] - 1).square()

    seen = []

    def weigh(of_loss, of_metric):
        seen.append(join.weights(of_loss, of_metric, GAMMA))
        return seen[-1]

    def terms():
        yield loss()
        yield Weighed(metric(), weigh)
        yield penalty()

    def gradient(objective):
        return hypergradient(objective, training, alphas, weights, InnerStep(0.1))

    found = gradient(terms)
    ((a, b),) = seen
    expected = gradient(lambda: a * loss() + b * metric() + penalty())
    torch.testing.assert_close(found.gradients, expected.gradients)
    torch.testing.assert_close(found.loss.double(), expected.loss.double())
    if isinstance(hypergradient, FirstOrder):
        parts = [torch.autograd.grad(part(), alphas) for part in (loss, metric)]
        assert join.weights(*parts, GAMMA) == pytest.approx((a, b))


def test_each_term_s_graph_is_gone_before_the_next_is_computed():
    alpha, log = nn.Parameter(torch.ones(1)), []

    def terms():
        yield 2 * alpha.sum()
        log.append("loss was differentiated")
        yield Weighed(alpha.sum(), lambda before, own: (3.0, float(before[0]) + 10 * float(own[0])))

    total, (gradient,) = objective_gradients(terms(), [alpha])
    assert (float(total), float(gradient)) == (3 * 2 + 12, 3 * 2 + 12)
    assert log == ["loss was differentiated"]
