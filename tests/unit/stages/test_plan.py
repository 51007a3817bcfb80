"""Which stages a job has."""

import sys
import types

import pytest

from dsrna.objectives.standard import Standard as OurStandard
from dsrna.objectives.trades import Trades
from dsrna.stages.run import plan


class Standard(Trades):
    """A user's own, which is adversarial whatever its name."""


class Mixed(OurStandard):
    """A user's own without adversary."""


@pytest.mark.parametrize(
    ("target", "baseline"),
    [
        ("dsrna.objectives.trades.Trades", True),
        ("dsrna.objectives.standard.Standard", False),
        ("mine.Standard", True),
        ("mine.Mixed", False),
    ],
)
def test_what_is_trained_without_adversary_needs_no_baseline(target, baseline, monkeypatch):
    monkeypatch.setitem(sys.modules, "mine", types.SimpleNamespace(Standard=Standard, Mixed=Mixed))
    retrain = types.SimpleNamespace(baseline=True, certified=False)
    settings = types.SimpleNamespace(stages=["retrain"], retrain=retrain, objective={"_target_": target})
    assert ("baseline" in plan(settings)) == baseline
