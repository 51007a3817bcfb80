"""What a sampled architecture sees of a search: one draw a step, the same for whoever looks, and none outside."""

import pytest
import torch
import torch.nn.functional as F

from dsrna.functional.seeding import generator
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.objectives.adversarial import Adversarial
from dsrna.strategies.darts import Darts
from dsrna.strategies.gdas import Gdas
from dsrna.strategies.regularisers.base import Regulariser
from dsrna.strategies.unrolled import Unrolled
from dsrna.types import CellWeights, Threat


def rows(weights):
    return torch.cat([cell.operations.detach().flatten() for cell in weights.values()])


@pytest.fixture
def seen(search_stage, tmp_path):
    """Runs a search and gives, for every forward pass of the supernet: (epoch, step, operation weights)."""

    def run(**arguments):
        stage = search_stage(tmp_path, **arguments)
        module, looks = stage.module, []
        module.model.supernet.register_forward_pre_hook(
            lambda _, inputs: looks.append((module.current_epoch, module.global_step, rows(inputs[1])))
        )
        stage.run()
        return stage, looks

    return run


@pytest.mark.slow
def test_each_step_has_a_draw_of_its_own_which_all_its_closures_see(seen):
    """Two draws a batch, of the architecture step and of the weight step, and the expected ones in validation."""
    stage, looks = seen(
        strategy=Gdas(), warmup=0, epochs=1, hypergradient=Unrolled("finite_difference"), entropy_weight=0,
        metric=JacobianNorm("l2", "projection", derivative="central_difference"),
    )  # fmt: skip
    for step in range(3):
        of_step = [weights for epoch, number, weights in looks if (epoch, number) == (0, step)]
        assert len(of_step) >= 7
        architecture, weights = of_step[0], of_step[-1]
        assert all(torch.equal(look, architecture) for look in of_step[:-1])
        assert not torch.equal(architecture, weights)
        assert set(weights.unique().round(decimals=5).tolist()) == {0.0, 1.0}
    expected = rows(stage.module.model.architecture.expected())
    after = [weights for _, number, weights in looks if number == 3]
    assert len(after) > 0
    assert all(torch.equal(look, expected) for look in after)


def test_draws_come_from_seed_purpose_epoch_and_batch(seen):
    stage, looks = seen(strategy=Gdas(init_scale=0.0), warmup=3, epochs=2)
    architecture = Gdas(init_scale=0.0).initial(stage.module.history._space)
    drawn = [look for look in looks if look[2].max() > 0.9]
    assert [step for _, step, _ in drawn] == list(range(6))
    for epoch, step, weights in drawn:
        architecture.begin_step(step / 6, generator(0, "weights step", epoch, step % 3))
        assert torch.equal(weights, rows(architecture()))


@pytest.mark.slow
def test_what_is_derived_and_recorded_is_the_expected_architecture(seen):
    stage, _ = seen(strategy=Gdas(), warmup=0)
    module = stage.module
    expected = module.model.architecture.expected()
    last = module.history.epochs[-1]
    for cell_type, cell in expected.items():
        torch.testing.assert_close(
            torch.tensor(last["weights"][cell_type]["operations"], dtype=torch.float32), cell.operations.detach()
        )
    assert last["weights"]["normal"]["operations"] != [[0.0]]


class Recorder(Regulariser):
    """Doubles the weights in weight steps, and notes what it is told."""

    def __init__(self):
        self.steps, self.kind = [], None

    def begin_step(self, step, weights):
        self.kind = step.kind
        with torch.no_grad():
            self.steps.append((step.kind, step.progress, step.loss(weights).item(), rows(weights)))

    def reweighted(self, weights):
        factor = 2.0 if self.kind == "weights" else 1.0
        return {name: CellWeights(factor * cell.operations, cell.edges) for name, cell in weights.items()}

    def penalty(self, architecture):
        return 3.0 * next(iter(architecture.alphas.values()))[0, 0]


@pytest.mark.slow
def test_regularisers_see_steps_begin_change_weights_and_add_penalties(search_stage, tmp_path):
    recorder, gradients = Recorder(), []
    stage = search_stage(
        tmp_path, strategy=Darts(), warmup=1, epochs=2, metric=False, entropy_weight=0, regularisers=[recorder], lr=0.0
    )
    module, looks, batches = stage.module, [], []
    module.model.supernet.register_forward_pre_hook(lambda _, inputs: looks.append(rows(inputs[1])))
    started = module.model.architecture()
    hypergradient, training_step = module.hypergradient, module.training_step

    def watched(**closures):
        found = hypergradient(**closures)
        (x, y) = batches[-1][1]
        weights = module.model.architecture()
        leaf = next(iter(module.model.architecture.alphas.values()))
        plain = torch.autograd.grad(F.cross_entropy(module.model.supernet(x, weights), y), leaf)[0]
        gradients.append((dict(zip(map(id, closures["alphas"]), found.gradients, strict=True))[id(leaf)], plain))
        return found

    def noted(batch, batch_idx):
        batches.append(batch)
        training_step(batch, batch_idx)

    module.hypergradient, module.training_step = watched, noted
    stage.run()
    assert [(kind, round(6 * progress)) for kind, progress, _, _ in recorder.steps] == [
        *(("weights", number) for number in range(3)),
        *((kind, number) for number in range(3, 6) for kind in ("architecture", "weights")),
    ]
    for found, plain in gradients:
        difference = found - plain
        assert difference[0, 0].item() == pytest.approx(3.0, abs=1e-4)
        difference[0, 0] = 0
        assert float(difference.abs().max()) < 1e-5
    sums = sorted({round(float(look.sum()) / len(look) * 4, 3) for look in looks})
    assert sums == [1.0, 2.0]
    x, y = batches[0][0]
    first = F.cross_entropy(stage.module.model.supernet(x, started), y).item()
    assert recorder.steps[0][2] == pytest.approx(first, rel=1e-4)  # at lr 0 the network stays


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["weights", "architecture"])
def test_objectives_of_both_kinds_of_steps(search_stage, tmp_path, kind):
    """Each kind of step trains on its own objective's images: the other one's are clean."""
    threat, calls = Threat("linf", 0.1), []

    class Watched(Adversarial):
        def result(self, model, forward, x, y, generator):
            found = super().result(model, forward, x, y, generator)
            calls.append((found.inputs - x).abs().max().item())
            assert (x.shape, found.inputs.shape) == (x.shape, x.shape)
            return found

    stage = search_stage(tmp_path, metric=False, epochs=2, warmup=1, **{f"{kind}_objective": Watched(threat, steps=1)})
    stage.run()
    assert len(calls) == (6 if kind == "weights" else 3)
    assert all(0.05 < distance <= 0.1 + 1e-6 for distance in calls)
    records = stage.folder.read_metrics()
    assert ("search/train/acc_adv" in records[0]) == (kind == "weights")


class Push(Regulariser):
    """A term of weight steps whose gradient in the first network weight is ``size``."""

    def __init__(self, size):
        self.size, self.supernet = size, None

    def weights_penalty(self):
        return self.size * next(iter(self.supernet.parameters())).flatten()[0]


@pytest.mark.slow
def test_regularisers_add_to_the_weight_steps_loss(search_stage, tmp_path):
    ended = []
    for size in (0.0, 1.0):
        push = Push(size)
        stage = search_stage(
            tmp_path / str(size), metric=False, entropy_weight=0, regularisers=[push], epochs=1, warmup=1,
            train_batches=1, clip=0.0, momentum=0.0, lr=0.01, schedule=None,
        )  # fmt: skip
        push.supernet = stage.module.model.supernet
        stage.run()
        ended.append(next(iter(push.supernet.parameters())).flatten()[0].item())
    assert ended[1] - ended[0] == pytest.approx(-0.01, rel=1e-3)
