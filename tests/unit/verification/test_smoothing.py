"""Randomised smoothing: radii of linear networks against the closed form, the bound, draws, interruption, refusals."""

import json
import math
from math import comb

import pytest
import torch
from torch import nn

from dsrna.errors import CheckpointError, ConfigError, DataError
from dsrna.verification.smoothing import Smoothing, at_least, certify_by_smoothing


def halves(weight=(1.0, -2.0, 2.0), bias=-0.2):
    """Two classes on 1 x 1 x 3 images, whose boundary is a plane."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0] * 3, list(weight)]))
        model[1].bias.copy_(torch.tensor([0.0, bias]))
    return model


def distances(model, x):
    logits = model(x).detach()
    return (logits[:, 1] - logits[:, 0]).abs() / (model[1].weight[1] - model[1].weight[0]).norm().item()


def radii(folder):
    return [one["radius"] for one in json.loads((folder / "smoothing.json").read_text())["smoothed"]]


@pytest.mark.slow
def test_the_radius_of_a_linear_network_is_its_distance_from_the_boundary(tmp_path):
    """The smoothed classifier of half spaces is the classifier itself; sampling may only fall short."""
    model, x = halves(), torch.rand(30, 1, 1, 3, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)
    y[::5] = 1 - y[::5]
    settings = Smoothing(samples=20_000, selection_samples=4_000, images=None)
    result = certify_by_smoothing(model, (x, y), settings, seed=0, folder=tmp_path)
    expected = distances(model, x)
    wrong = torch.zeros(30, dtype=torch.bool)
    wrong[::5] = True
    found = torch.tensor(radii(tmp_path))
    assert (found[wrong] == 0).all()
    assert (found <= expected + 1e-6).all()
    near = ~wrong & (expected < 0.5)
    assert near.sum() > 5
    torch.testing.assert_close(found[near], expected[near], atol=0.035, rtol=0)
    assert result["radius"] == pytest.approx(found.mean().item())
    assert result["abstained"] == pytest.approx((expected < 0.01).float().mean().item())
    assert result["correct"] == pytest.approx((~wrong & (expected >= 0.01)).float().mean().item())
    for point in result["curve"]:
        assert point["certified"] == pytest.approx((found >= point["eps"]).float().mean().item())


@pytest.mark.slow
def test_a_certificate_is_wrong_no_more_often_than_it_says(tmp_path):
    """An image so near the boundary that every radius above its distance is wrong, 300 times."""
    model = halves((1.0, 0.0, 0.0), -0.5)
    x = torch.tensor([0.52, 0.5, 0.5]).view(1, 1, 1, 3).repeat(300, 1, 1, 1)
    settings = Smoothing(sigma=0.1, samples=200, selection_samples=20, failure=0.1, images=None)
    certify_by_smoothing(model, (x, torch.ones(300, dtype=torch.int64)), settings, seed=0, folder=tmp_path)
    wrong = sum(radius > 0.02 + 1e-7 for radius in radii(tmp_path))
    assert 5 < wrong <= 30 + 3 * math.sqrt(300 * 0.1 * 0.9), "about one in ten, of those whose class was right"


@pytest.mark.parametrize(("count", "samples"), [(60, 100), (99, 100), (100, 100), (7, 9)])
def test_the_bound_is_clopper_and_pearsons(count, samples):
    """At p, so many or more successes have a probability of just ``failure``."""
    p = at_least(count, samples, 0.01)
    tail = sum(comb(samples, k) * p**k * (1 - p) ** (samples - k) for k in range(count, samples + 1))
    assert tail == pytest.approx(0.01)


def test_it_abstains_where_no_class_has_more_than_half(tmp_path):
    model, x = halves(bias=-0.5), torch.full((1, 1, 1, 3), 0.5)
    assert distances(model, x).item() == 0
    result = certify_by_smoothing(model, (x, torch.tensor([1])), Smoothing(samples=500), seed=0, folder=tmp_path)
    assert (result["abstained"], result["correct"], result["radius"]) == (1.0, 0.0, 0.0)


def test_an_interrupted_run_goes_on_to_the_same_result(tmp_path):
    model, x = halves(), torch.rand(6, 1, 1, 3, generator=torch.Generator().manual_seed(3))
    y = model(x).argmax(1)

    def run(folder, progress=None, **changes):
        settings = Smoothing(**{"samples": 300, "images": 5} | changes)
        return certify_by_smoothing(model, (x, y), settings, seed=1, folder=folder, progress=progress)

    def stop(done, images, numbers):
        if done == 2:
            raise KeyboardInterrupt

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop)
    assert len(radii(tmp_path / "parts")) == 2
    seen = []
    resumed = run(tmp_path / "parts", lambda done, images, numbers: seen.append((done, images)))
    assert seen == [(2, 5), (3, 5), (4, 5), (5, 5)]
    assert radii(tmp_path / "parts") == radii(tmp_path / "whole")
    assert {key: value for key, value in resumed.items() if key != "seconds"} == {
        key: value for key, value in whole.items() if key != "seconds"
    }
    assert whole["images"] == 5
    with pytest.raises(CheckpointError, match="sigma"):
        run(tmp_path / "parts", sigma=0.5)
    assert run(tmp_path / "parts", eps=[0.1])["curve"][0]["eps"] == 0.1, "radii are read off what is known"


def test_the_network_sees_noise_of_that_size_on_images_that_are_not_cut(tmp_path):
    seen = []

    class Seeing(nn.Module):
        def forward(self, x):
            seen.append(x)
            return torch.stack([torch.ones(len(x)), torch.zeros(len(x))], 1)

    settings = Smoothing(sigma=0.7, samples=900, selection_samples=100, batch_size=400, images=1)
    certify_by_smoothing(Seeing(), (torch.ones(1, 1, 4, 4), torch.tensor([0])), settings, seed=0, folder=tmp_path)
    copies = [batch for batch in seen if len(batch) > 1]
    assert [len(batch) for batch in copies] == [100, 400, 400, 100]
    values = torch.cat(copies)
    assert values.mean().item() == pytest.approx(1, abs=0.02)
    assert values.std().item() == pytest.approx(0.7, abs=0.02)
    assert len({round(value, 5) for value in values[:, 0, 0, 0].tolist()}) > 990, "each copy has draws of its own"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"sigma": 0.0}, "sigma"),
        ({"sigma": math.inf}, "sigma"),
        ({"failure": 1.0}, "failure"),
        ({"samples": 0}, "samples"),
        ({"eps": [0.0]}, "eps"),
        ({"eps": "auto"}, "eps"),
    ],
)
def test_bad_settings_are_refused(settings, named):
    with pytest.raises(ConfigError, match=rf"conf: {named}"):
        Smoothing(**settings)


def test_images_that_do_not_fit_are_refused(tmp_path):
    data = torch.rand(2, 1, 1, 3), torch.tensor([0])
    with pytest.raises(DataError):
        certify_by_smoothing(halves(), data, Smoothing(), seed=0, folder=tmp_path)
