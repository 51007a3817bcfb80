"""Free adversarial training against the algorithm of the paper, in the true modules and loaders."""

import copy

import pytest
import torch
import torch.nn.functional as F

from dsrna.config.compose import compose
from dsrna.config.validate import validated
from dsrna.errors import ConfigError
from dsrna.objectives import FreeAdversarial, Standard
from dsrna.strategies.selection.training import train
from dsrna.types import Threat

EPS, LR, STEPS = 0.1, 0.05, 9


def algorithm_1(network, batches, norm, replays, radius):
    """Shafahi et al., with momentum SGD; the perturbation of the released code, clipped to images in [0, 1]."""
    weights = list(network.parameters())
    velocity = [torch.zeros_like(w) for w in weights]
    noise, step = torch.zeros_like(batches[0][0]).double(), 0
    for x, y in batches:
        for _ in range(replays):
            if step == STEPS:
                return noise
            size = radius(step / STEPS)
            lengths = noise.flatten(1).norm(dim=1)[:, None, None, None]
            noise = noise.clamp(-size, size) if norm == "linf" else noise * (size / lengths).clamp(max=1).nan_to_num(1)
            noise.requires_grad_()
            gradients = torch.autograd.grad(F.cross_entropy(network((x + noise).clamp(0, 1)), y), [*weights, noise])
            with torch.no_grad():
                for w, v, g in zip(weights, velocity, gradients[:-1], strict=True):
                    w -= LR * v.mul_(0.9).add_(g + 3e-4 * w)
                g = gradients[-1]
                if norm == "linf":
                    noise = (noise + size * g.sign()).clamp(-size, size)
                else:
                    noise = noise + size * g / g.flatten(1).norm(dim=1)[:, None, None, None]
                    lengths = noise.flatten(1).norm(dim=1)[:, None, None, None]
                    noise = noise * (size / lengths).clamp(max=1)
            step += 1
    return noise


def built(stage, path, norm="linf", replays=2, **ramp):
    objective = FreeAdversarial(Threat(norm, EPS), replays=replays, **ramp)
    return stage(
        path, objective=objective, schedule="none", ema_decay=0.0, clip=0.0, lr=LR, drop_path=0.0, dtype=torch.float64
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("norm", "replays", "ramp"),
    [("linf", 2, {}), ("l2", 4, {"eps_start": 0.02, "ramp_begin": 0.2, "ramp_end": 0.9})],
)
def test_it_is_algorithm_1(retrain_stage, tmp_path, norm, replays, ramp):
    stage, other = built(retrain_stage, tmp_path / "a", norm, replays, **ramp), built(retrain_stage, tmp_path / "b")
    other.train.replays = 1
    batches = [(x.double(), y) for epoch in range(3) for x, y in other.train.batches(epoch)]
    network = other.module.network.train()

    def radius(progress):
        return EPS if not ramp else 0.02 + (EPS - 0.02) * min(max((progress - 0.2) / 0.7, 0), 1)

    noise = algorithm_1(network, batches, norm, replays, radius)
    stage.run(precision="64-true")
    torch.testing.assert_close(stage.module.objective.state()["delta"], noise)
    found = stage.module.network.state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(found[name], value, msg=name)
    records = stage.folder.read_metrics()
    assert all("retrain/train/acc_adv" in record for record in records)
    radii = [record.get("retrain/train/eps") for record in records]
    means = [sum(radius(step / STEPS) for step in range(first, first + 3)) / 3 for first in (0, 3, 6)]
    assert radii == (pytest.approx(means) if ramp else [None] * 3)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["search", "retrain"])
def test_killed_between_two_replays_it_goes_on_to_the_same_weights(search_stage, retrain_stage, tmp_path, kind):
    def build(path):
        objective = FreeAdversarial(Threat("linf", EPS), replays=3)
        if kind == "search":
            return search_stage(path, weights_objective=objective, metric=False, warmup=0)
        return retrain_stage(path, objective=objective)

    whole = build(tmp_path / "whole")
    whole.run()
    killed = build(tmp_path / "killed")
    step, calls = killed.module.training_step, []

    def dying(batch, batch_idx):
        calls.append(batch_idx)
        if len(calls) == 5:
            raise Killed
        step(batch, batch_idx)

    killed.module.training_step = dying
    with pytest.raises(Killed):
        killed.run(1e-9)
    again = build(tmp_path / "killed")
    again.run(1e-9)
    expected = whole.module.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in again.module.state_dict().items())
    objectives = [
        stage.module.objective if kind == "retrain" else stage.module.objectives["weights"] for stage in (whole, again)
    ]
    torch.testing.assert_close(*(objective.state()["delta"] for objective in objectives), rtol=0, atol=0)
    assert float(objectives[0].state()["delta"].abs().max()) == pytest.approx(EPS)


def test_training_a_candidate_carries_the_perturbation_too():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).double()
    by_hand, draw = copy.deepcopy(network), torch.Generator().manual_seed(0)
    batches = [(torch.rand(6, 1, 8, 8, generator=draw).double(), torch.arange(6) % 3) for _ in range(STEPS)]
    noise = algorithm_1(by_hand, batches, "linf", 1, lambda progress: EPS)
    objective = FreeAdversarial(Threat("linf", EPS), replays=1)
    optimizer = torch.optim.SGD(network.parameters(), lr=LR, momentum=0.9, weight_decay=3e-4)
    train(network, objective, batches, optimizer, gradient_clip=0.0, noise=lambda number: draw)
    torch.testing.assert_close(objective.state()["delta"], noise)
    torch.testing.assert_close(network[1].weight, by_hand[1].weight)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["architecture_objective", "selection_objective", "ranking_objective"])
def test_architecture_steps_and_scores_refuse_it_with_the_reason(place):
    with pytest.raises(ConfigError, match=rf"backward passes of weight steps.*conf: search.{place}"):
        validated(compose("search", [f"objective@search.{place}=free"]))


@pytest.mark.slow
def test_weight_steps_and_retraining_take_it():
    validated(compose("search", ["objective@search.weights_objective=free", "objective=free"]))


def test_replays_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="conf: replays"):
        FreeAdversarial(Threat("linf", EPS), replays=0)
    assert Standard().replays == 1
