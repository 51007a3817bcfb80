"""What is certified in float32 holds on real numbers, and rounding is never blamed on an engine."""

import json
import math

import pytest
import torch
from torch import nn

from dsrna.bounds.crown import Crown
from dsrna.bounds.engines import ENGINES
from dsrna.verification import Verdict, Verification, verifier, verify
from dsrna.verification.certifier import in_float64
from dsrna.verification.nearest_example import Examples

FAST = {"engines": ["ibp", "crown"], "attack_steps": 5, "attack_restarts": 1, "bisection_steps": 25}


class Offset(nn.Module):
    """x + offset - offset, which float32 rounds to multiples of what the offset's last digit is worth."""

    def __init__(self, offset):
        super().__init__()
        self.offset = torch.tensor(float(offset))  # no buffer

    def forward(self, x):
        return (x + self.offset) - self.offset


def problem(offset, count=20):
    """A linear network in float32 that loses digits, images away from the cube's faces, and exact l_inf radii."""
    draw = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(18, 3), Offset(offset)).requires_grad_(False)
    model[1].weight.copy_(torch.randn(3, 18, generator=draw) / 4)
    model[1].bias.copy_(-model[1].weight.sum(1) / 2)
    x = 0.3 + 0.4 * torch.rand(count, 2, 3, 3, generator=draw)
    exact = in_float64(model)
    logits, weight = exact(x.double()), exact[1].weight
    y = logits.argmax(1)
    radii = (logits.gather(1, y[:, None]) - logits) / (weight[y][:, None] - weight).abs().sum(2)
    radii[torch.arange(count), y] = torch.inf
    return model, x, y, radii.amin(1)


def verdicts(folder):
    return [Verdict(**one) for one in json.loads((folder / "verification_linf.json").read_text())["verdicts"]]


@pytest.mark.parametrize("offset", [0, 1, 10, 100, 1e3, 1e4, 1e5])
def test_certified_radii_hold_on_real_numbers(tmp_path, offset):
    """A layer that cancels a large mean: what float32 loses there is allowed for."""
    model, x, y, exact = problem(offset)
    verify(model, (x, y), Verification(**FAST), seed=0, folder=tmp_path)
    found = torch.tensor([verdict.certified for verdict in verdicts(tmp_path)], dtype=torch.float64)
    assert bool((found <= exact).all())
    # Nothing is given away but what rounding may change: here about ten times a unit of the offset's last digit.
    lost = (exact - found) / exact
    allowed = 1e-4 + 40 * (offset + 5) * 2**-23 / exact
    assert bool((lost <= allowed).all())


class TooOptimistic(Crown):
    """Wrong by a fifth in single precision."""

    def bound(self, model, x, eps, y):
        return super().bound(model, x, eps / 1.2 if x.dtype == torch.float32 else eps, y)


def test_a_radius_that_float64_does_not_confirm_is_replaced_by_one_that_it_does(tmp_path, monkeypatch):
    monkeypatch.setitem(ENGINES, "crown", TooOptimistic)
    model, x, y, exact = problem(0)
    verify(model, (x, y), Verification(**FAST | {"engines": ["crown"]}), seed=0, folder=tmp_path)
    found = torch.tensor([verdict.certified for verdict in verdicts(tmp_path)], dtype=torch.float64)
    torch.testing.assert_close(found, 0.96 * exact, rtol=1e-2, atol=0)
    assert bool((found <= exact).all())


class Never(Crown):
    """Proves what it likes in single precision, and nothing in double precision."""

    def bound(self, model, x, eps, y):
        bounds = super().bound(model, x, 0 * eps, y)
        return bounds if x.dtype == torch.float32 else bounds._replace(lower=bounds.lower - 1e9)


def test_what_float64_never_confirms_is_not_certified(tmp_path, monkeypatch):
    monkeypatch.setitem(ENGINES, "crown", Never)
    model, x, y, _ = problem(0)
    result = verify(model, (x, y), Verification(**FAST | {"engines": ["crown"]}), seed=0, folder=tmp_path)
    assert {(verdict.certified, verdict.engine) for verdict in verdicts(tmp_path)} == {(0.0, None)}
    assert result["proved_by"] == {}


@pytest.mark.parametrize("kind", ["of the right class in float64", "a bit outside of the radius"])
def test_rounding_is_not_blamed_on_the_engine(tmp_path, monkeypatch, kind):
    model, x, y, exact = problem(0)

    def found(_model, images, _y, _settings, _seed):
        share = 0.5 if kind == "of the right class in float64" else 1.01
        weight = model[1].weight
        away = (weight[:, None] - weight)[y, (y + 1) % 3].sign().view(images.shape)
        points = images - share * exact.view(-1, 1, 1, 1).float() * away
        return Examples(points, 0.5 * exact)

    monkeypatch.setattr(verifier, "nearest_examples", found)
    verify(model, (x, y), Verification(**FAST), seed=0, folder=tmp_path)
    for verdict in verdicts(tmp_path):
        assert verdict.certified == math.nextafter(verdict.attacked, 0)
        assert verdict.certified > 0


def test_a_network_in_float64_has_the_same_weights_and_its_own_memory():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), Offset(3))
    exact = in_float64(model)
    assert exact[2].offset.dtype == exact[0].weight.dtype == exact[1].running_mean.dtype == torch.float64
    assert not any(parameter.requires_grad for parameter in exact.parameters())
    assert not exact.training
    assert model.training
    assert model[2].offset.dtype == model[0].weight.dtype == torch.float32
    x = torch.rand(5, 2)
    torch.testing.assert_close(exact(x.double()).float(), model.eval()(x), rtol=1e-4, atol=1e-5)
