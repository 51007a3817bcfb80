"""Every attack of ``conf/attack`` keeps the contract, with fewer steps where it has a number of them."""

import pytest

from dsrna.config.catalog import choices
from dsrna.config.compose import compose
from dsrna.config.parts import build_part
from dsrna.testing.evaluation_attack_conformance import check_evaluation_attack
from tests.thorough import thorough

FEWER = {"steps": 4, "queries": 30, "restarts": 2, "passes": 2}
LONG = {"apgd", "autoattack", "autoattack_rand"}
ATTACKS = choices("attack")


def built(name):
    node = compose("evaluate", [f"+attack@evaluate.attacks.tried={name}"]).evaluate.attacks.tried
    return build_part({**node, **{key: value for key, value in FEWER.items() if key in node}}, "attack")


def test_there_are_attacks_in_the_group():
    assert {"fgsm", "pgd20", "pgd100", "cw", "apgd", "apgd_dlr", "autoattack", "square"} <= set(ATTACKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", [thorough(name) if name in LONG else name for name in ATTACKS])
def test_every_attack_keeps_the_contract(name):
    check_evaluation_attack(built(name))
