"""Every attack keeps the contract."""

import pytest

from dsrna.attacks import FGSM, PGD, TradesAttack
from dsrna.testing.attack_conformance import check_attack

ATTACKS = {
    "pgd": lambda norm, eps: PGD(norm, eps, steps=5),
    "pgd-clean-start": lambda norm, eps: PGD(norm, eps, steps=5, random_start=False),
    "pgd-restarts": lambda norm, eps: PGD(norm, eps, steps=3, restarts=3),
    "pgd-margin": lambda norm, eps: PGD(norm, eps, steps=5, loss="margin"),
    "fgsm": lambda norm, eps: FGSM(norm, eps),
    "fgsm-random-start": lambda norm, eps: FGSM(norm, eps, random_start=True),
    "pgd-batch-statistics": lambda norm, eps: PGD(norm, eps, steps=5, batch_norm="batch"),
    "trades": lambda norm, eps: TradesAttack(norm, eps, steps=5),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_keeps_the_contract(name):
    goal = "divergence" if name == "trades" else "margin"
    check_attack(ATTACKS[name], goal=goal, shares_statistics=name == "pgd-batch-statistics")
