"""SmoothDARTS against its released code's steps, written out by hand."""

import pytest
import torch

from dsrna.errors import ConfigError, NonFiniteError
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.strategies.darts import Darts
from dsrna.strategies.fair import Fair
from dsrna.strategies.gdas import Gdas
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.regularisers.auxiliary_skip import AuxiliarySkip
from dsrna.strategies.regularisers.sdarts import Sdarts
from dsrna.types import CellWeights


def noise(shapes, radius, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [radius * (2 * torch.rand(shape, generator=draw, dtype=torch.float64) - 1) for shape in shapes]


def clip(p):
    """The released code's, line by line."""
    for line in p:
        largest = int(line.argmax())
        line.clamp_(0, 1)
        if line.sum() == 0.0:
            line[largest] = 1.0
        line.div_(line.sum())
    return p


def rows(weights):
    return [cell.operations.detach().clone() for cell in weights.values()]


def replaced(weights, operations):
    pairs = zip(weights.items(), operations, strict=True)
    return {name: CellWeights(values, cell.edges) for (name, cell), values in pairs}


@pytest.mark.parametrize(("progress", "radius"), [(0.0, 0.03), (0.5, 0.165), (0.999, 0.29973)])
def test_random_perturbations_grow(relaxed, step_of, progress, radius):
    _, model = relaxed("darts", [Sdarts()], strategy=PCDarts(partial_channels=2))
    plain = model.architecture()
    model.begin_step(step_of(model, "weights", progress))
    moves = noise([(5, 8), (5, 8)], radius)
    expected = [clip(p + move) for p, move in zip(rows(plain), moves, strict=True)]
    found = model.operation_weights()
    torch.testing.assert_close(rows(found), expected)
    for name, cell in found.items():
        assert torch.equal(cell.edges, plain[name].edges)


def test_where_nothing_is_left_the_largest_is_the_one(relaxed, step_of):
    _, model = relaxed("darts", [Sdarts(radius_start=1.0, radius_end=1.0)], strategy=Darts())
    hit = 0
    for seed in range(60):
        model.begin_step(step_of(model, "weights", 0.0, seed=seed))
        wanted = [p + m for p, m in zip(rows(model.architecture()), noise([(5, 8)] * 2, 1.0, seed), strict=True)]
        hit += sum(int((values <= 0).all(1).sum()) for values in wanted)
        torch.testing.assert_close(rows(model.operation_weights()), [clip(values) for values in wanted])
    assert hit > 0


@pytest.mark.slow
@pytest.mark.parametrize("space", ["darts", "nasbench201"])
def test_adversarial_perturbations_are_those_of_the_released_code(relaxed, step_of, images, space):
    radius, steps = 0.2, 3
    _, model = relaxed(space, [Sdarts("adversarial", radius, radius, steps)])
    step = step_of(model, "weights", 0.4, images)
    model.begin_step(step)
    plain = model.architecture()
    start = rows(plain)
    p = [clip(p + move) for p, move in zip(start, noise([p.shape for p in start], radius), strict=True)]
    for _ in range(steps):
        p = [values.detach().requires_grad_() for values in p]
        slopes = torch.autograd.grad(step.loss(replaced(plain, p)), p)
        moved = [a.detach() + 2 * radius / steps * slope.sign() for a, slope in zip(p, slopes, strict=True)]
        p = [clip(at + (a - at).clamp(-radius, radius)) for a, at in zip(moved, start, strict=True)]
    torch.testing.assert_close(rows(model.operation_weights()), p)
    assert step.loss(model.operation_weights()) > step.loss(plain) + 0.01


def test_a_perturbation_that_does_not_increase_the_loss_is_none(relaxed, step_of, images):
    _, model = relaxed("nasbench201", [Sdarts("adversarial", 0.2, 0.2, 1)])
    plain = rows(model.architecture())

    def loss(weights):  # rises and falls too fast to be climbed, and is largest at the start
        gap = torch.cat([cell.operations for cell in weights.values()]) - torch.cat(plain)
        return -gap.abs().sum()

    step = step_of(model, "weights", 0.4, images)
    model.begin_step(type(step)(step.kind, step.progress, step.generator, loss))
    torch.testing.assert_close(rows(model.operation_weights()), plain)


def test_architecture_steps_see_the_weights_as_they_are(relaxed, step_of, images):
    _, model = relaxed("nasbench201", [Sdarts("adversarial")])
    for kind in ("weights", "architecture"):
        model.begin_step(step_of(model, kind, 0.9, images))
        assert all(map(torch.equal, rows(model.operation_weights()), rows(model.architecture()))) == (
            kind == "architecture"
        )


def test_dropped_operations_stay_away_and_sums_are_kept(relaxed, step_of):
    """With an auxiliary skip before it the weights of an edge sum to more than 1."""
    _, model = relaxed("nasbench201", [AuxiliarySkip(0.5), Sdarts(radius_start=0.3)])
    kept = torch.ones(6, 5, dtype=torch.bool)
    kept[2, 3:] = False
    model.architecture.keep({"cell": kept})
    model.begin_step(step_of(model, "weights", 0.0))
    (found,) = rows(model.operation_weights())
    torch.testing.assert_close(found.sum(1), torch.full((6,), 1.5).double())
    assert bool((found[2, 3:] == 0).all())
    assert bool((found[2, :3] > 0).any())


@pytest.mark.parametrize("perturbation", ["random", "adversarial"])
def test_sigmoids_are_clipped_alone(relaxed, step_of, perturbation):
    values = torch.randn(6, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    _, model = relaxed("nasbench201", [Sdarts(perturbation, 0.2, 0.2, steps=1)], strategy=Fair(init_scale=2.0))
    step = step_of(model, "weights", 0.0)
    model.begin_step(
        type(step)(
            step.kind, step.progress, step.generator, lambda weights: (weights["cell"].operations * values).sum()
        )
    )
    (start,) = rows(model.architecture())
    expected = (start + noise([(6, 5)], 0.2)[0]).clamp(0, 1)
    if perturbation == "adversarial":
        expected = (start + (expected + 0.4 * values.sign() - start).clamp(-0.2, 0.2)).clamp(0, 1)
    (found,) = rows(model.operation_weights())
    torch.testing.assert_close(found, expected)
    assert (found.min(), found.max()) == (0, 1)


@pytest.mark.parametrize("slope", [float("nan"), float("inf")])
def test_an_adversary_without_a_direction_stops_the_search(relaxed, step_of, slope):
    """The sign of NaN is 0: it would stand still, and the search go on without it."""
    _, model = relaxed("nasbench201", [Sdarts("adversarial", 0.2, 0.2)])
    step = step_of(model, "weights", 0.0)

    def loss(weights):
        return (weights["cell"].operations * torch.tensor([slope, 1.0, 1.0, 1.0, 1.0])).sum()

    with pytest.raises(NonFiniteError, match="operation weights of the cell cell"):
        model.begin_step(type(step)(step.kind, step.progress, step.generator, loss))


def test_single_operations_are_refused():
    space = Nasbench201Space()
    with pytest.raises(ConfigError, match="GdasArchitecture draws one operation of weight 1 an edge"):
        Sdarts().check(space, Gdas().initial(space))


@pytest.mark.parametrize(
    "arguments",
    [{"radius_start": -0.1}, {"radius_end": 1.5}, {"radius_end": float("nan")}, {"steps": 0}, {"perturbation": "x"}],
)
def test_ranges(arguments):
    with pytest.raises(ConfigError, match="Expected"):
        Sdarts(**arguments)
