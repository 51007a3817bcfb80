"""The ball of training attacks grows as its settings say."""

import pytest
import torch

from dsrna.attacks import FGSM, PGD, TradesAttack
from dsrna.errors import ConfigError
from dsrna.objectives import Adversarial, FastAdversarial, FreeAdversarial, Trades
from dsrna.testing.attack_conformance import tiny_classifier
from dsrna.types import Threat

THREAT = Threat("linf", 0.1)
RAMP = {"eps_start": 0.02, "ramp_begin": 0.2, "ramp_end": 0.6}
OBJECTIVES = {
    "fast": (lambda **ramp: FastAdversarial(THREAT, **ramp), lambda eps: FGSM("linf", eps, random_start=True)),
    "pgd": (lambda **ramp: Adversarial(THREAT, steps=3, **ramp), lambda eps: PGD("linf", eps, steps=3)),
    "steps of a length": (
        lambda **ramp: Adversarial(THREAT, steps=3, step_size=0.03, **ramp),
        lambda eps: PGD("linf", eps, 0.3 * eps, steps=3),
    ),
    "steps relative to the ball": (
        lambda **ramp: Adversarial(THREAT, steps=3, relative_step_size=0.25, **ramp),
        lambda eps: PGD("linf", eps, eps / 4, steps=3),
    ),
    "trades": (
        lambda **ramp: Trades(THREAT, steps=3, step_size=0.03, **ramp),
        lambda eps: TradesAttack("linf", eps, 0.3 * eps, steps=3),
    ),
}


def draw():
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_attack_is_that_of_the_present_ball(name):
    build, attack = OBJECTIVES[name]
    model = tiny_classifier().double().eval()
    x, y = torch.rand(6, 2, 6, 6, generator=torch.Generator().manual_seed(0)).double(), torch.arange(6) % 3
    objective = build(**RAMP)
    assert torch.equal(objective(model, x, y, draw()).inputs, attack(0.1)(model, x, y, draw())), "before it is told"
    for progress, eps in ((0.0, 0.02), (0.2, 0.02), (0.3, 0.04), (0.6, 0.1), (0.99, 0.1)):
        objective.advance(progress)
        result = objective(model, x, y, draw())
        torch.testing.assert_close(result.inputs, attack(eps)(model, x, y, draw()))
        assert result.numbers == {"eps": pytest.approx(eps)}
    plain = build()
    plain.advance(0.0)
    result = plain(model, x, y, draw())
    assert torch.equal(result.inputs, attack(0.1)(model, x, y, draw()))
    assert result.numbers == {}
    from_nothing = build(ramp_end=0.5)
    from_nothing.advance(0.0)
    assert torch.equal(from_nothing(model, x, y, draw()).inputs, x)


def test_a_smooth_ramp_is_slow_at_both_ends():
    objective = FreeAdversarial(THREAT, ramp_end=1.0, ramp_shape="smooth")
    found = []
    for progress in (0.1, 0.5, 0.9):
        objective.advance(progress)
        found.append(objective.radius)
    assert found[0] < 0.005
    assert found[1] == pytest.approx(0.05)
    assert found[2] > 0.095


@pytest.mark.parametrize(
    ("bad", "key"),
    [
        ({"eps_start": 0.2, "ramp_end": 0.5}, "eps_start"),
        ({"eps_start": -0.1, "ramp_end": 0.5}, "eps_start"),
        ({"eps_start": 0.05}, "ramp_end"),
        ({"ramp_begin": 0.5, "ramp_end": 0.4}, "ramp_begin"),
        ({"ramp_end": 1.5}, "ramp_begin"),
        ({"ramp_end": 0.5, "ramp_shape": "steep"}, "shape"),
    ],
)
def test_what_makes_no_ramp_is_refused(bad, key):
    with pytest.raises(ConfigError, match=f"conf: {key}"):
        FastAdversarial(THREAT, **bad)


@pytest.mark.slow
def test_a_search_logs_both_radii(tmp_path):
    from tests.unit.training.conftest import build_search

    stage = build_search(
        tmp_path, metric=False, warmup=0, train_batches=2,
        weights_objective=FastAdversarial(THREAT, ramp_end=1.0),
        architecture_objective=FastAdversarial(THREAT, **RAMP),
    )  # fmt: skip
    stage.run()
    records = stage.folder.read_metrics()
    assert [record["search/train/eps"] for record in records] == pytest.approx([0.1 / 12, 0.5 / 12, 0.9 / 12])
    expected = [0.02, (0.1 * 2 - 0.08 * (0.6 - 1 / 3) / 0.4 - 0.08 * (0.6 - 0.5) / 0.4) / 2, 0.1]
    assert [record["search/architecture/eps"] for record in records] == pytest.approx(expected)
