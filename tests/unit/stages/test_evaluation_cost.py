"""What an evaluation's attacks will take: counted by hand, and for a known speed."""

import pytest
import torch
from torch import nn

import dsrna.stages.evaluation_cost
from dsrna.config.compose import compose, settings_from
from dsrna.data.images import ArrayImages
from dsrna.evaluation import FoolboxFGSM
from dsrna.stages.evaluation_cost import CountedPasses, cost_line, counted_passes, pass_seconds

ATTACKS = ["trainer.limits.attacks=[fgsm,pgd20]", "evaluate.eps_curve=[0.01,0.02]"]


class Demanding(FoolboxFGSM):
    """Looks for a layer that only the network has for which it was written."""

    def search(self, model, x, y, threat, seed):
        return model.model.features(x)


class Splits:
    test = ArrayImages(torch.zeros(50, 1, 8, 8, dtype=torch.uint8), torch.arange(50) % 10, 10)


def counted(*overrides):
    return counted_passes(settings_from(compose("evaluate", [*ATTACKS, *overrides])), Splits)


@pytest.mark.slow
def test_every_measurement_is_counted_for_all_its_images():
    plain = counted()
    assert plain.unknown == []
    assert plain.passes["FGSM"][1] == 50
    assert plain.passes["PGD-20"][1] == 3 * 50 * 20  # with the curve
    more = counted(
        "evaluate.threats=[{norm: l2, eps: 0.5}]",
        "+evaluate.attacks.pgd20.repeats=3",
        "+evaluate.attacks.fgsm.images=10",
    )
    assert more.passes["FGSM"][1] == 2 * 10
    assert more.passes["PGD-20"][1] == (2 * 3 + 2) * 50 * 20


@pytest.mark.slow
def test_an_attack_that_needs_a_network_of_its_own_is_told_to_be_unknown(monkeypatch):
    monkeypatch.setattr(
        "dsrna.stages.evaluation_passes.measurements", lambda settings: [(Demanding(), settings.threat.value)]
    )
    found = counted()
    assert found.unknown == ["FGSM"]
    assert list(found.passes) == ["PGD-20"]


def test_seconds_are_passes_times_their_cost(monkeypatch):
    monkeypatch.setattr(dsrna.stages.evaluation_cost, "pass_seconds", lambda network, x: (1.0, 2.0))
    passes = CountedPasses({"A": (10.0, 5.0), "B": (100.0, 50.0)}, ["C"])
    line = cost_line(nn.Flatten(), passes, Splits, 8, torch.device("cpu"))
    assert line.startswith(
        "attacks' passes through the network take at most about 4 min, B 3 min of it"
    )  # 20 s and 200 s
    assert line.endswith("without C, whose cost can't be told")


def test_a_pass_is_timed_for_an_image_in_evaluation_mode_and_leaves_nothing(monkeypatch):
    seen = []

    class Noting(nn.Linear):
        def forward(self, x):
            seen.append((self.training, len(x), torch.is_grad_enabled()))
            return super().forward(x)

    monkeypatch.setattr(
        dsrna.stages.evaluation_cost, "seconds_of", lambda action, device: (action(), 4.0 + 8.0 * seen[-1][2])[1]
    )
    network, x = Noting(3, 2).train(), torch.zeros(4, 3)
    assert pass_seconds(network, x) == (1.0, 2.0)
    assert seen == [(False, 4, False), (False, 4, True)]
    assert network.training
    assert network.weight.grad is None
    assert not x.requires_grad
