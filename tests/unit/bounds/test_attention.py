"""Products of two values, matrix products, softmax, roots and powers: in intervals and between planes."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dsrna.bounds.convex_function import EXP, RECIPROCAL, RSQRT, SQRT, SQUARE
from dsrna.bounds.engines import bound_engine
from dsrna.bounds.interval import Interval
from dsrna.bounds.product_node import ProductNode
from dsrna.bounds.relaxation import Relaxation
from dsrna.bounds.softmax_node import plane_above_log_sum_exp
from dsrna.bounds.substitution import lower_functions
from dsrna.errors import UnsupportedError

REACHES = [0.0, 1e-9, 0.1, 1.0, 30.0]


def box(shape, reach, seed):
    draw = torch.Generator().manual_seed(seed)
    centre = torch.randn(shape, generator=draw, dtype=torch.float64)
    return Interval(centre, reach * torch.rand(shape, generator=draw, dtype=torch.float64))


def points(interval, seed, number=300):
    draw = torch.Generator().manual_seed(seed)
    place = 2 * torch.rand(number, *interval.shape, generator=draw, dtype=torch.float64) - 1
    place[number // 2 :] = place[number // 2 :].sign()
    return interval.centre + interval.radius * place


def halves(x):
    """Two matrices (N, 2, 3) of values (N, 12)."""
    return x[:, :6].unflatten(1, (2, 3)), x[:, 6:].unflatten(1, (2, 3))


def multiplied(x):
    first, second = halves(x)
    return first * second


def broadcast(x):
    first, second = halves(x)
    return first * second[:, :, :1]


def matrices(x):
    first, second = halves(x)
    return torch.matmul(first, second.transpose(1, 2))


OPERATIONS = {
    "product": multiplied,
    "broadcast": broadcast,
    "matrices": matrices,
    "softmax": lambda x: F.softmax(x.unflatten(1, (3, 4)), dim=2),
    "softmax over another dimension": lambda x: x.unflatten(1, (3, 4)).softmax(1),
    "square": lambda x: x * x,
    "exp": torch.exp,
    "quotient": lambda x: x / (x**2 + 0.5),
    "roots": lambda x: (torch.square(x) + 0.1) ** 0.5 - (x**2 + 0.1).rsqrt(),
}


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=8, deadline=None)
@given(reach=st.sampled_from(REACHES), seed=st.integers(0, 10**6))
def test_values_lie_in_the_interval_and_between_the_planes(name, reach, seed):
    operation = OPERATIONS[name]
    interval = box((4, 12), reach, seed)
    x = points(interval, seed)
    values = operation(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    found = operation(interval)
    slack = 1e-10 * (1 + values.abs()) + 1e-15 * found.magnitude  # ends are differences of centre and radius
    assert bool((found.lower - slack <= values).all())
    assert bool((values <= found.upper + slack).all())
    relaxed = operation(Relaxation.ball(interval))
    rows = torch.randn(5, *relaxed.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    planes = lower_functions(relaxed.node, rows)
    reached = (rows[:, None] * values).flatten(3).sum(dim=3)
    terms = planes.rows[:, None] * x
    below = terms.sum(dim=3) + planes.constant[:, None]
    scale = terms.abs().sum(dim=3) + planes.constant.abs()[:, None] + (rows[:, None] * values).abs().flatten(3).sum(3)
    assert bool((below <= reached + 1e-9 * (1 + scale)).all())


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_planes_of_a_tiny_box_are_the_derivative(name):
    operation, interval = OPERATIONS[name], box((1, 12), 1e-7, 0)
    relaxed = operation(Relaxation.ball(interval))
    count = relaxed.shape.numel()
    rows = torch.eye(count, dtype=torch.float64).view(count, *relaxed.shape)
    planes = lower_functions(relaxed.node, rows)
    jacobian = torch.autograd.functional.jacobian(operation, interval.centre).view(count, 12)
    torch.testing.assert_close(planes.rows[:, 0], jacobian, atol=1e-4, rtol=1e-4)


def test_products_are_exact_at_the_corners():
    interval = box((200, 12), 1.5, 1)
    first, second = halves(interval)
    ends = torch.stack([x * y for x in (first.lower, first.upper) for y in (second.lower, second.upper)])
    found = multiplied(interval)
    torch.testing.assert_close(found.lower, ends.amin(dim=0))
    torch.testing.assert_close(found.upper, ends.amax(dim=0))
    product = matrices(interval)
    pairs = first.unsqueeze(2) * second.unsqueeze(1)
    torch.testing.assert_close(product.lower, pairs.lower.sum(dim=3))
    torch.testing.assert_close(product.upper, pairs.upper.sum(dim=3))


def planes_of(value, rows):
    return lower_functions(value.node, rows.unsqueeze(1).expand(len(rows), *value.shape))


@pytest.mark.parametrize("reach", [0.3, 3.0])
def test_the_plane_below_a_product_reaches_its_least_value_and_the_middle(reach):
    interval = box((200, 2), reach, 3)
    x, y = Relaxation.ball(interval)[:, :1], Relaxation.ball(interval)[:, 1:]
    assert x.node.inputs != y.node.inputs  # two values that don't know of each other
    node = ProductNode((x.node, y.node), (x.interval, y.interval), x.interval * y.interval, matrices=False)
    centre, radius = interval.centre, interval.radius
    middle, volume = centre.prod(1), radius.prod(1)
    for sign, end in ((1.0, (x.interval * y.interval).lower), (-1.0, -(x.interval * y.interval).upper)):
        parts, constant = node.substitute(torch.full((1, 200, 1), sign, dtype=torch.float64))
        slopes = torch.cat(parts, dim=2)[0]
        between = (slopes * centre).sum(1) + constant[0]
        torch.testing.assert_close(between, sign * middle - volume)  # McCormick's gap
        torch.testing.assert_close(between - (slopes.abs() * radius).sum(1), end[:, 0])


def test_probabilities_add_up_to_one_between_the_planes():
    relaxed = Relaxation.ball(box((3, 2, 4), 2.0, 4)).softmax(-1)
    planes = planes_of(relaxed, torch.ones(1, 2, 4, dtype=torch.float64))
    torch.testing.assert_close(planes.constant, torch.full_like(planes.constant, 2.0))
    assert bool((planes.rows == 0).all())
    rows = torch.randn(7, 2, 4, dtype=torch.float64)
    plain, shifted = planes_of(relaxed, rows), planes_of(relaxed, rows + 5)
    torch.testing.assert_close(shifted.rows, plain.rows)
    torch.testing.assert_close(shifted.constant, plain.constant + 10)


def test_of_all_that_is_common_to_a_row_the_best_is_taken_out():
    interval = box((1, 5), 1.0, 5)
    relaxed = Relaxation.ball(interval).softmax(-1)
    node, rows = relaxed.node, torch.randn(20, 1, 5, dtype=torch.float64)

    def in_the_middle(common):
        below, above = (rows - common).clamp(min=0), (rows - common).clamp(max=0)
        slopes = torch.einsum("rni,nij->rnj", below, node._below) + torch.einsum("rni,nij->rnj", above, node._above)
        constant = (below * node._floor + above * node._ceiling).sum(2) + common[..., 0]
        return (slopes * interval.centre).sum(2) + constant

    found = in_the_middle(node._common(rows))
    others = torch.stack([in_the_middle(rows[..., place : place + 1]) for place in range(5)])
    torch.testing.assert_close(found, others.amax(dim=0))


@pytest.mark.parametrize("reach", [1e-3, 0.5, 5.0, 500.0])
def test_the_plane_above_a_log_of_a_sum_is_close_to_it(reach):
    interval = box((400, 5), reach, 6)
    centre, radius = 3 * interval.centre, interval.radius
    radius[200:, 0] *= 20  # one entry rules
    slopes, middle = plane_above_log_sum_exp(centre, radius)
    corners = 2 * torch.cartesian_prod(*[torch.arange(2.0, dtype=torch.float64)] * 5) - 1  # it's convex: highest there
    x = corners[:, None] * radius
    plane = middle[:, 0] + (slopes * x).sum(2)
    assert bool((plane >= (centre + x).logsumexp(2) - 1e-9 * (1 + reach)).all())
    p = centre.softmax(1)
    gap, variance = middle[:, 0] - centre.logsumexp(1), (p * radius.square()).sum(1)
    if reach < 0.01:
        assert bool((gap <= 1.001 * variance / 2).all())
        assert gap[200:].sum() < 0.9 * variance[200:].sum() / 2
    assert bool((plane.amin(0) >= (centre - radius).logsumexp(1) - 2 * radius.amax(1)).all())


def test_softmax_is_exact_for_each_entry_by_itself():
    interval = box((50, 4), 2.0, 2)
    for place in range(4):
        own = F.one_hot(torch.tensor(place), 4).bool()
        highest = torch.where(own, interval.upper, interval.lower).softmax(1)[:, place]
        lowest = torch.where(own, interval.lower, interval.upper).softmax(1)[:, place]
        found = interval.softmax(1)
        torch.testing.assert_close(found.upper[:, place], highest)
        torch.testing.assert_close(found.lower[:, place], lowest)


def test_softmax_of_huge_differences_stays_finite():
    x = torch.tensor([[0.0, 300.0, -300.0]], requires_grad=True)
    relaxed = Relaxation.ball(Interval(x, torch.full_like(x, 200.0))).softmax(1)
    planes = lower_functions(relaxed.node, torch.tensor([1.0, -1.0, 1.0]).view(1, 1, 3))
    assert bool(planes.rows.isfinite().all())
    assert bool(planes.constant.isfinite().all())
    (gradient,) = torch.autograd.grad(planes.constant.sum() + relaxed.interval.upper.sum(), x)
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "function", [EXP, SQUARE, RECIPROCAL, SQRT, RSQRT], ids=["exp", "square", "reciprocal", "sqrt", "rsqrt"]
)
def test_a_function_lies_between_its_lines_and_in_its_range(function, dtype):
    draw = torch.Generator().manual_seed(0)
    centre = 3 * torch.randn(300, generator=draw, dtype=dtype)
    reach = 10 ** (7 * torch.rand(300, generator=draw, dtype=dtype) - 6)
    if function.above == 0:
        centre = centre.abs() + 1.0001 * reach
    low, high = centre - reach, centre + reach
    lines, (least, most) = function.enclosure(low, high), function.range(low, high)
    z = torch.lerp(low.double(), high.double(), torch.linspace(0, 1, 501, dtype=torch.float64)[:, None])
    value = function.value(z)
    slack = 4 * torch.finfo(dtype).eps * function.size(low, high).double()
    assert bool((lines.lower.double() * z + lines.floor.double() <= value).all())
    assert bool((lines.upper.double() * z + lines.ceiling.double() >= value).all())
    assert bool((least - slack <= value).all())
    assert bool((most + slack >= value).all())
    torch.testing.assert_close(
        function.slope(z), torch.autograd.functional.jvp(function.value, z, torch.ones_like(z))[1]
    )


class Heads(nn.Module):
    """Attention of two heads of 2 channels, written out or by torch's function."""

    def __init__(self, by_hand):
        super().__init__()
        self.weights = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))
        self.by_hand = by_hand
        self.classifier = nn.Linear(4, 3)

    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)
        query, key, value = (layer(x).reshape(len(x), -1, 2, 2).permute(0, 2, 1, 3) for layer in list(self.weights)[:3])
        if self.by_hand:
            output = torch.matmul(F.softmax(torch.matmul(query, key.transpose(-2, -1)) / 2**0.5, dim=-1), value)
        else:
            output = F.scaled_dot_product_attention(query, key, value)
        return self.classifier(self.weights[3](output.transpose(1, 2).flatten(2)).mean(1))


def heads(by_hand):
    torch.manual_seed(0)
    return Heads(by_hand).requires_grad_(False)


@pytest.mark.parametrize("name", ["ibp", "crown_ibp", "crown"])
def test_attention_by_torchs_function_is_that_written_out(name):
    x = torch.rand(2, 4, 2, 2)
    found, expected = (bound_engine(name)(heads(by_hand), x, 0.01) for by_hand in (False, True))
    for end, other in zip(found, expected, strict=True):
        torch.testing.assert_close(end, other)


@pytest.mark.parametrize("name", ["ibp", "crown"])
def test_allowance_is_made_for_rounding(name):
    model, x = heads(True), torch.rand(20, 4, 2, 2)
    model.weights[0].weight.mul_(30)
    exact = copy.deepcopy(model).double()
    lower, upper = bound_engine(name).allowing_for(torch.float32)(exact, x.double(), 0.0)
    for reached in (model(x).double(), exact(x.double())):
        assert bool(((lower <= reached) & (reached <= upper)).all())
    assert (upper - lower).max() < 1e-2


def test_known_matrices_multiply_from_either_side():
    x = torch.rand(2, 3, 4, dtype=torch.float64)
    left, right = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    box = Interval.ball(x, 0.1, "linf")
    found = left @ box @ right
    torch.testing.assert_close(found.centre, left @ box.centre @ right)
    torch.testing.assert_close(found.radius, left.abs() @ box.radius @ right.abs())


REFUSED = {
    "softmax over images": (lambda x: x.softmax(0), "mixes the images"),
    "one dimension": (lambda x: x.flatten(1) @ x.flatten(1), "mixes the images"),
    "other dimensions": (lambda x: x * x.flatten(1)[:, :2], "mixes the images"),
    "known matrix of images": (lambda x: torch.rand(2, 2) @ x.flatten(1), "mixes the images"),
    "cube": (lambda x: x**3, "the power 3"),
    "power of 2": (lambda x: 2**x, "an operator"),
    "many matrices": (lambda x: x @ torch.rand(2, 2, 2, 2), "one known matrix"),
    "causal": (lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), "is_causal"),
    "dropout": (lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.1), "dropout"),
    "softmax": (lambda x: F.softmax(x), "without its dimension"),
}


class Quotient(nn.Module):
    """1 / x_0, the root of x_1 and LayerNorm, two layers further; x_0 - 1/4 and x_1 are above 0."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(2, 4), nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x):
        x = x.flatten(1)
        parts = torch.cat([1 / (x[:, :1] - 0.25), x[:, 1:].sqrt()], dim=1)
        return self.last(self.norm(self.first(parts).relu()))


@pytest.mark.parametrize("name", ["ibp", "crown_ibp", "crown", "beta_crown"])
def test_only_the_image_in_whose_ball_a_function_has_no_value_stays_open(name):
    torch.manual_seed(1)
    network, engine = Quotient().double().requires_grad_(False), bound_engine(name)
    x = torch.tensor([[0.5, 0.5], [0.26, 0.5], [0.5, 0.0], [0.7, 0.3]], dtype=torch.float64).view(4, 1, 1, 2)
    y = network(x.clamp(min=0.3)).argmax(1)
    lower, upper = engine(network, x, 0.02, y)
    fine, open_ones = [0, 3], [1, 2]
    alone = engine(network, x[fine], 0.02, y[fine])
    torch.testing.assert_close(lower[fine], alone.lower)
    torch.testing.assert_close(upper[fine], alone.upper)
    assert bool((lower[open_ones] == -torch.inf).all())
    assert bool((upper[open_ones] == torch.inf).all())
    summary = engine.summary(network, x, 0.02, y)
    assert summary.lower.isfinite().tolist() == [True, False, False, True]


def test_a_box_by_itself_says_where_a_function_has_no_value():
    with pytest.raises(UnsupportedError, match="quotient of what may be 0"):
        1 / Interval(torch.zeros(2, 3), torch.ones(2, 3))


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", [Interval, Relaxation])
def test_what_has_no_rule_is_refused(kind, name):
    operation, reason = REFUSED[name]
    x = Interval.ball(torch.full((2, 1, 2, 2), 0.5), 0.1, "linf")
    with pytest.raises(UnsupportedError, match=reason):
        operation(x if kind is Interval else Relaxation.ball(x))
