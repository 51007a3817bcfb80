"""Which objective candidates are trained by, and which one ranks them."""

import pytest

from dsrna.config.compose import compose
from dsrna.config.objectives import selection_objective
from dsrna.config.validate import threat_of, validated
from dsrna.objectives.adversarial import Adversarial
from dsrna.objectives.fast import FastAdversarial
from dsrna.objectives.standard import Standard
from dsrna.objectives.trades import Trades

STEPS = ["objective@search.weights_objective=fast", "objective@search.architecture_objective=trades"]
SELECTION, RANKING = "objective@search.selection_objective=standard", "objective@search.ranking_objective=pgd"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "trains", "ranks"),
    [
        ([], FastAdversarial, Trades),
        ([SELECTION], Standard, Standard),
        ([RANKING], FastAdversarial, Adversarial),
        ([SELECTION, RANKING], Standard, Adversarial),
    ],
)
def test_the_narrowest_key_that_is_given_decides(typed, trains, ranks):
    settings = validated(compose("search", [*STEPS, *typed]))
    found = [selection_objective(settings.search, steps, threat_of(settings)) for steps in ("weights", "architecture")]
    assert [type(objective) for objective in found] == [trains, ranks]


@pytest.mark.slow
def test_ranking_by_fractions_of_a_radius_is_read():
    settings = validated(compose("search", [RANKING, "search.ranking_objective.step_size=2/255"]))
    assert settings.search.ranking_objective["step_size"] == pytest.approx(2 / 255)
