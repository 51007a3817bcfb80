"""Decisions don't depend on the scale of the logits, and neither does what attacks find, nor on the precision."""

import pytest
import torch
from torch import nn

from dsrna.evaluation import APGD, AutoAttack, CarliniWagner, FoolboxFGSM, FoolboxPGD
from dsrna.evaluation.rescaled_logits import RescaledLogits
from dsrna.types import Threat

ATTACKS = {
    "fgsm": FoolboxFGSM(),
    "pgd": FoolboxPGD(steps=20, random_start=False),
    "cw": CarliniWagner(steps=100),
    "apgd": APGD(steps=30),
    "autoattack": AutoAttack(),
}


def two_classes(scale, dtype=torch.float32):
    draw = torch.Generator().manual_seed(0)
    row = torch.randn(36, generator=draw)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(scale * torch.stack([row, -row]))
    model = model.to(dtype)
    x = (0.4 + 0.2 * torch.rand(16, 1, 6, 6, generator=draw)).to(dtype)
    return model, x, (x.flatten(1).double() @ row.double()).abs(), row.double()


def dual(row, norm):
    return row.abs().sum() if norm == "linf" else row.norm()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scales"),
    {
        # At 1e4 the cross-entropy is flat: masking, for which there are other checks.
        "fgsm": [1e-30, 1e-16],
        "pgd": [1e-30, 1e-16],
        "apgd": [1e-30, 1e-16],
        "cw": [1e-30, 1e-16, 1e4],
        "autoattack": [1e-30],
    }.items(),
)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_attacks_find_the_closed_form_at_every_scale(name, scales, norm):
    """Logits are w . x and -w . x: an image is broken within |w . x| / ||w||_q."""
    for scale in scales if name != "autoattack" or norm == "l2" else []:
        _check_closed_form(name, norm, scale)


def _check_closed_form(name, norm, scale):
    model, x, score, row = two_classes(scale)
    radius = score / dual(row, norm)
    eps = float(radius.median()) * 1.05
    decided = (radius / eps - 1).abs() > 0.02
    assert 0.3 < (radius[decided] > eps).float().mean() < 0.7
    robust = ATTACKS[name].run(model, x, model(x).argmax(1), Threat(norm, eps), seed=0)
    assert torch.equal(robust[decided], (radius > eps)[decided])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["pgd", "cw", "apgd"])
def test_networks_of_other_precisions_are_attacked_as_well(name, dtype):
    model, x, score, row = two_classes(1.0, dtype)
    radius = score / dual(row, "linf")
    eps = 0.05
    decided = (radius - eps).abs() > (1e-4 if dtype == torch.float64 else 0.01)
    assert 0 < (radius[decided] > eps).sum() < decided.sum()
    robust = ATTACKS[name].run(model, x, model(x).argmax(1), Threat("linf", eps), seed=0)
    assert torch.equal(robust[decided], (radius > eps)[decided])


def test_logits_of_usual_size_are_left_alone():
    logits = torch.tensor([[1.0, -1.0], [1e-7, -1e-7], [1e9, -1e9]])
    model = RescaledLogits(nn.Identity(), logits, low=2**-10)
    assert torch.equal(model(logits), logits)
    model = RescaledLogits(nn.Identity(), logits[1:2], low=2**-10)
    assert 2**-11 < model(logits[1:2]).max() <= 2**-10
    assert torch.equal(model(logits[1:2]) / logits[1:2], torch.full((1, 2), 2.0**13))
    each = RescaledLogits(nn.Identity(), logits, low=2**-4, high=128, per_image=True)(logits)
    assert torch.equal(each[0], logits[0])
    assert 2**-5 < each[1].max() <= 2**-4
    assert 128 <= each[2].max() < 256
    flat = torch.tensor([[3.0, 3.0], [0.0, 0.0]])
    assert torch.equal(RescaledLogits(nn.Identity(), flat, low=1.0, per_image=True)(flat), flat)
