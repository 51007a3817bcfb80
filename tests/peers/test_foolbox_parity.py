"""Our attacks and foolbox's, from the same start."""

import foolbox
import pytest
import torch

from dsrna.attacks import FGSM, PGD
from dsrna.testing.attack_conformance import tiny_classifier

pytestmark = pytest.mark.peer

STEP_SIZES = {"linf": (8 / 255, 2 / 255), "l2": (0.5, 0.1)}


def batch():
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(64, 2, 6, 6, generator=draw)
    return (1.2 * x - 0.1).clamp(0, 1), torch.randint(3, (64,), generator=draw)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("seed", range(3))
def test_pgd_equals_foolbox_to_the_last_bit(norm, seed):
    (x, y), model = batch(), tiny_classifier(seed=seed).eval()
    eps, step_size = STEP_SIZES[norm]
    peer = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm]
    attack = peer(abs_stepsize=step_size, steps=20, random_start=False)
    _, expected, _ = attack(foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), x, y, epsilons=eps)
    found = PGD(norm, eps, step_size, steps=20, random_start=False)(model, x, y)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fgsm_equals_foolbox_to_the_last_bit(norm):
    (x, y), model = batch(), tiny_classifier().eval()
    eps = STEP_SIZES[norm][0]
    peer = {"linf": foolbox.attacks.LinfFastGradientAttack, "l2": foolbox.attacks.L2FastGradientAttack}[norm]()
    _, expected, _ = peer(foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), x, y, epsilons=eps)
    assert torch.equal(FGSM(norm, eps)(model, x, y), expected)
