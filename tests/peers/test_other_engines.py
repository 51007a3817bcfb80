"""Attacks of adv-lib and SecML-Torch beside those that evaluations run; where these packages are installed.

`pip install adv-lib secml-torch`, into an environment of its own; tried with adv-lib 0.2.8 and secml-torch 1.5.
"""

import math

import pytest
import torch

from dsrna.attacks import PGD
from dsrna.evaluation import APGD, AutoAttack, FoolboxPGD
from dsrna.types import Threat
from tests.thorough import thorough
from tests.unit.evaluation.test_engines import images, linear_network

pytestmark = pytest.mark.peer

THREATS = {"linf": Threat("linf", 0.012), "l2": Threat("l2", 0.06), "l1": Threat("l1", 0.25)}
EXPONENTS = {"linf": math.inf, "l2": 2.0, "l1": 1.0}


@pytest.fixture
def adv_lib():
    return pytest.importorskip("adv_lib.attacks", exc_type=ImportError)


def setting(classes=5):
    model, x = linear_network(classes).eval(), images()
    return model, x, model(x).argmax(1)


def broken(model, examples, y):
    return model(examples).argmax(1) != y


def test_adv_libs_pgd_from_the_image_breaks_the_images_that_ours_does(adv_lib):
    model, x, y = setting()
    eps, step = 0.012, 0.003
    theirs = adv_lib.pgd_linf(model, x, y, eps, steps=20, random_init=False, absolute_step_size=step)
    ours = PGD("linf", eps, step, steps=20, random_start=False)(model, x, y)
    assert 0 < broken(model, ours, y).sum() < len(x)
    assert torch.equal(broken(model, theirs, y), broken(model, ours, y))


@pytest.mark.parametrize("norm", THREATS)
@pytest.mark.parametrize("loss", ["cross_entropy", "dlr"])
def test_adv_libs_apgd_breaks_as_much_as_autoattacks(adv_lib, norm, loss):
    model, x, y = setting()
    threat = THREATS[norm]
    ours = APGD(steps=50, loss=loss).run(model, x, y, threat, seed=0)
    name = {"cross_entropy": "ce", "dlr": "dlr"}[loss]
    theirs = adv_lib.apgd(
        model, x, y, threat.eps, EXPONENTS[norm], n_iter=50, loss_function=name, use_large_reps=norm == "l1"
    )
    assert 0 < ours.sum() < len(x)
    assert abs(int((~broken(model, theirs, y)).sum()) - int(ours.sum())) <= 1


@pytest.mark.parametrize("norm", ["linf", thorough("l2")])
def test_adv_libs_parts_of_autoattack_break_no_more_than_it(adv_lib, norm):
    model, x, y = setting()
    threat = THREATS[norm]
    ours = AutoAttack().run(model, x, y, threat, seed=0)
    exponent = EXPONENTS[norm]
    found = [
        adv_lib.apgd(model, x, y, threat.eps, exponent, loss_function="ce"),
        adv_lib.apgd_targeted(model, x, y, threat.eps, exponent),
    ]
    standing = ~torch.stack([broken(model, examples, y) for examples in found]).any(0)
    assert (standing >= ours).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_secml_torchs_pgd_breaks_as_much_as_foolboxs(norm):
    pytest.importorskip("secmlt", exc_type=ImportError)
    from secmlt.adv.backends import Backends
    from secmlt.adv.evasion import pgd as secml
    from secmlt.models.pytorch.base_pytorch_nn import BasePyTorchClassifier
    from torch.utils.data import DataLoader, TensorDataset

    model, x, y = setting()
    threat = THREATS[norm]
    attack = secml.PGD(norm, threat.eps, 40, threat.eps / 10, random_start=False, backend=Backends.NATIVE)
    examples = torch.cat(
        [moved for moved, _ in attack(BasePyTorchClassifier(model), DataLoader(TensorDataset(x, y), 24))]
    )
    ours = FoolboxPGD(steps=40, random_start=False, step_size=threat.eps / 10).run(model, x, y, threat, seed=0)
    assert abs(int((~broken(model, examples, y)).sum()) - int(ours.sum())) <= 1
