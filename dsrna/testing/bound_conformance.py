"""What every bound engine promises, as functions to call from a test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dsrna.errors import UnsupportedError
from dsrna.functional.margins import all_margins
from dsrna.functional.norms import steepest_step
from dsrna.functional.projections import project, uniform_start
from dsrna.testing.slopes import check_slope
from dsrna.testing.tiny_networks import linear_network
from dsrna.testing.untouched import Failing, MadeUpError, left_as_it_was, unsettled
from dsrna.types import Norm

BoundCall = Callable[[nn.Module, Tensor, float | Tensor, Tensor | None], tuple[Tensor, Tensor]]
"""(model, x, eps, y) -> (lower, upper) of the logits, or of the margins where classes y are given."""

SAMPLES = 1000
ATTACK_STEPS = 15


class _Scores(NamedTuple):
    name: str
    y: Tensor | None

    def of(self, model: nn.Module, x: Tensor) -> Tensor:
        """Logits (N, K), or margins (N, K - 1); images may come in several rounds of the classes' batch."""
        logits = model(x)
        return logits if self.y is None else all_margins(logits, self.y.repeat(len(x) // len(self.y)))


def check_linear_network(bound: BoundCall, norm: Norm, dtype: torch.dtype = torch.float64) -> None:
    """Bounds of a linear network equal the values computed by hand.

    f = (x_0 - 2 x_1 + 1, 3 x_0 + 4 x_1) at x = (0.5, 0.9), eps 0.2. l_inf: x_0 in [0.3, 0.7] and x_1 in [0.7, 1], as
    the box cuts; f_0 in [-0.7, 0.3], f_1 in [3.7, 6.1], and f_1 - f_0 = 2 x_0 + 6 x_1 - 1 in [3.8, 6.4]. l_2, eps 0.1,
    where the box is only touched: f_1 = 5.1 - 0.1 * 5 at least, f_1 - f_0 = 5.4 - 0.1 * sqrt(40) at least.

    Args:
        bound: the engine.
        norm: its norm.
        dtype: of network and images.

    Raises:
        AssertionError: they differ.
    """
    model = linear_network(torch.tensor([[1.0, -2.0], [3.0, 4.0]], dtype=dtype), torch.tensor([1.0, 0.0], dtype=dtype))
    x, y = torch.tensor([0.5, 0.9], dtype=dtype).view(1, 2, 1, 1), torch.tensor([1])
    if norm == "linf":
        _assert_close(bound(model, x, 0.2, None), ([[-0.7, 3.7]], [[0.3, 6.1]]), "logits")
        _assert_close(bound(model, x, 0.2, y), ([[3.8]], [[6.4]]), "margins")
    else:
        root = 0.1 * 40**0.5
        _assert_close(bound(model, x, 0.1, y), ([[5.4 - root]], [[5.4 + root]]), "margins")
        lower, _ = bound(model, x, 0.1, None)
        assert abs(lower[0, 1].item() - 4.6) < 1e-5, f"logits: expected the lower end 4.6, got {lower[0, 1].item()}"


def check_bounds(
    bound: BoundCall,
    norm: Norm,
    model: nn.Module,
    x: Tensor,
    eps: float,
    agreement: float = 0.0,
    *,
    monotone: bool = True,
) -> None:
    """Checks the bounds of one network's logits and margins.

    Tight at eps 0; containing the network's output at 1,000 points of each ball and wherever gradient attacks on each
    single logit and margin lead; not narrower for a larger eps; independent of batch mates and of the mode that the
    network is in; radii per image as one by one; the network untouched, after an error too.

    Args:
        bound: the engine.
        norm: its norm.
        model: network of the dtype of ``x``.
        x: at least two images in [0, 1].
        eps: radius at which soundness is checked.
        agreement: how far bounds of the same image in other batches may differ beyond rounding: 0, unless an engine
            optimises, which amplifies rounding.
        monotone: whether a larger eps must not give a tighter bound; an engine that chooses slopes by the intervals of
            a ReLU's input may choose better ones for a larger eps.

    Raises:
        AssertionError: the engine breaks a promise; the message says how.
    """
    model.eval()
    with torch.no_grad():
        logits = model(x)
    y = logits.argmax(dim=1)
    y[-1] = (y[-1] + 1) % logits.shape[1]  # one image is misclassified from the start
    for scores in (_Scores("logits", None), _Scores("margins", y)):
        _check_untouched(bound, model, x, eps, scores)
        _check_values(bound, norm, model, x, eps, scores, agreement, monotone=monotone)


def check_bounds_or_refusal(
    bound: BoundCall, norm: Norm, model: nn.Module, x: Tensor, eps: float, *, monotone: bool = True
) -> bool:
    """Whether the engine follows the network, whose bounds are then checked as by :func:`check_bounds`.

    Raises:
        AssertionError: it doesn't refuse it, and breaks a promise.
    """
    try:
        bound(model, x, eps, None)
    except UnsupportedError:
        return False
    check_bounds(bound, norm, model, x, eps, monotone=monotone)
    return True


def check_gradient(bound: BoundCall, model: nn.Module, x: Tensor, eps: float) -> None:
    """Checks an engine for training: the gradient to the network's weights is that of the bounds.

    By finite differences along a direction in all weights, of the sum of all ends with factors that differ.

    Args:
        bound: the engine.
        model: network in float64.
        x: images of its dtype in [0, 1].
        eps: radius.

    Raises:
        AssertionError: it isn't, or there is none.
    """
    model.eval()
    parameters = list(model.parameters())
    draw = torch.Generator().manual_seed(2)
    ends = torch.stack([*bound(model, x, eps, None)])
    assert ends.requires_grad, "the bounds have no gradient"
    factors = torch.randn(ends.shape, generator=draw, dtype=x.dtype)
    gradients = torch.autograd.grad((factors * ends).sum(), parameters, allow_unused=True, materialize_grads=True)
    check_slope(
        gradients,
        parameters,
        lambda: (factors * torch.stack([*bound(model, x, eps, None)])).sum(),
        what="the gradient to the weights",
        tolerance=1e-3,
    )


def _check_values(
    bound: BoundCall,
    norm: Norm,
    model: nn.Module,
    x: Tensor,
    eps: float,
    scores: _Scores,
    agreement: float,
    *,
    monotone: bool,
) -> None:
    name, y = scores
    with torch.no_grad():
        exact = scores.of(model, x)
        at_zero = bound(model, x, 0.0, y)
        narrow, wide = bound(model, x, eps / 2, y), bound(model, x, eps, y)
        radii = torch.linspace(0, eps, len(x), dtype=x.dtype)
        mixed = bound(model, x, radii, y)
        alone = [
            bound(model, x[n : n + 1], radii[n].item(), None if y is None else y[n : n + 1]) for n in range(len(x))
        ]
    rounding = _rounding(exact)
    for end in at_zero:
        assert bool(((end - exact).abs() <= rounding).all()), f"{name}: not tight at eps 0"
    slack = rounding + _rounding(torch.stack([*wide]))
    for place, points in (
        ("a sampled point", _samples(x, norm, eps)),
        ("an attack", _attack(norm, model, x, eps, scores)),
    ):
        with torch.no_grad():
            reached = scores.of(model, points).unflatten(0, (-1, len(x)))
        below, above = (wide[0] - reached).amax().item(), (reached - wide[1]).amax().item()
        assert below <= slack, f"{name}: {place} is {below:g} below the lower end, {norm} eps {eps:g}"
        assert above <= slack, f"{name}: {place} is {above:g} above the upper end, {norm} eps {eps:g}"
    if monotone:
        assert bool((wide[0] <= narrow[0] + slack).all()), f"{name}: a lower end rises with eps"
        assert bool((wide[1] >= narrow[1] - slack).all()), f"{name}: an upper end falls with eps"
    for end, single in zip(mixed, zip(*alone, strict=True), strict=True):
        assert bool(((end - torch.cat(single)).abs() <= slack + agreement).all()), f"{name}: depends on batch mates"


def _samples(x: Tensor, norm: Norm, eps: float) -> Tensor:
    """(rounds * N, ...) points: half of them uniform in the ball, half of them as far out as it goes."""
    draw = torch.Generator().manual_seed(0)
    rounds = -(-SAMPLES // 2)
    repeated = x.repeat(rounds, *[1] * (x.ndim - 1))
    inside = uniform_start(repeated, norm, eps, draw)
    direction = steepest_step(torch.randn(repeated.shape, generator=draw, dtype=x.dtype), norm)
    return torch.cat([inside, project(repeated + eps * direction, repeated, norm, eps)])


def _attack(norm: Norm, model: nn.Module, x: Tensor, eps: float, scores: _Scores) -> Tensor:
    """(2 * columns * N, ...) points where projected gradients on each score lead, downwards and upwards."""
    with torch.no_grad():
        columns = scores.of(model, x).shape[1]
    signs = torch.tensor([-1.0, 1.0], dtype=x.dtype).repeat_interleave(columns * len(x))
    column = torch.arange(columns).repeat_interleave(len(x)).repeat(2)
    centre = x.repeat(2 * columns, *[1] * (x.ndim - 1))
    points = uniform_start(centre, norm, eps / 4, torch.Generator().manual_seed(1))
    best = points
    best_score = torch.full_like(signs, -torch.inf)
    for _ in range(ATTACK_STEPS):
        points = points.detach().requires_grad_()
        score = signs * scores.of(model, points).gather(1, column[:, None])[:, 0]
        better = score.detach() > best_score
        best = torch.where(better.view(-1, *[1] * (x.ndim - 1)), points.detach(), best)
        best_score = torch.where(better, score.detach(), best_score)
        (gradient,) = torch.autograd.grad(score.sum(), points)
        points = project(points.detach() + eps / 4 * steepest_step(gradient, norm), centre, norm, eps)
    return best


def _check_untouched(bound: BoundCall, model: nn.Module, x: Tensor, eps: float, scores: _Scores) -> None:
    images = x.clone()
    with unsettled(model):
        with left_as_it_was(model):
            in_training = bound(model, x, eps, scores.y)
        with left_as_it_was(model), contextlib.suppress(MadeUpError, UnsupportedError):
            bound(nn.Sequential(model, Failing()), x, eps, scores.y)
    assert torch.equal(x, images), "the images changed"
    for end, again in zip(in_training, bound(model.eval(), x, eps, scores.y), strict=True):
        assert bool(((end - again).abs() <= _rounding(end)).all()), "the bounds depend on the network's mode"


def _rounding(values: Tensor) -> float:
    """What rounding can change in values of this size."""
    return 1000 * torch.finfo(values.dtype).eps * (1 + values.detach().abs().max().item())


def _assert_close(got: tuple[Tensor, Tensor], expected: tuple[list[list[float]], list[list[float]]], name: str) -> None:
    for end, values in zip(got, expected, strict=True):
        torch.testing.assert_close(end.detach().double(), torch.tensor(values).double(), rtol=1e-5, atol=1e-5, msg=name)
