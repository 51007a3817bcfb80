"""Checks of a network's gradients, on networks that were built to hide them, and pictures of the margin."""

import pytest
import torch

from dsrna.evaluation import FoolboxPGD, evaluate
from dsrna.evaluation.gradients import gradient_checks, loss_surface
from dsrna.evaluation.transferred import Transferred
from dsrna.functional.margins import margin
from dsrna.types import Threat
from tests.unit.evaluation.test_masking import Constant, Images, Linear, Quantised, Saturated

THREATS = {"linf": Threat("linf", 0.03), "l2": Threat("l2", 0.2)}


class Shattered(Linear):
    """Right scores, and gradients that are drawn."""

    def scores(self, x):
        draw = torch.randn(x.shape, generator=torch.Generator().manual_seed(int(1e6 * x.detach().sum())))
        return super().scores(x.detach()) + ((x - x.detach()) * draw).flatten(1).sum(1)


class Exploding(Linear):
    """The square root of 0: a gradient that is no number, at right scores."""

    def scores(self, x):
        return super().scores(x) + 0 * (x - x.detach()).abs().flatten(1).sum(1).sqrt()


class Cut(Linear):
    def scores(self, x):
        return super().scores(x.detach()).detach()


def states(model, threat, images=60, **settings):
    x = Images(images).x
    y = Linear()(x).argmax(1)
    torch.manual_seed(0)
    return {one["check"]: one["state"] for one in gradient_checks(model, x, y, threat, 0, **settings)}


@pytest.mark.parametrize("norm", THREATS)
@pytest.mark.parametrize(
    ("model", "gradients", "uphill"),
    [
        (Linear(), "passed", "passed"),
        (Saturated(), "failed", "passed"),  # the margin doesn't saturate
        (Quantised(), "failed", "failed"),
        (Shattered(), "passed", "failed"),
        (Exploding(), "failed", "failed"),
        (Cut(), "failed", "failed"),
        (Constant(), "failed", "failed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else "",
)
def test_hidden_gradients_are_found_out(model, gradients, uphill, norm):
    assert states(model, THREATS[norm]) == {"gradients": gradients, "uphill": uphill}


def test_what_could_not_fail_is_not_run():
    assert set(states(Quantised(), THREATS["linf"], images=6).values()) == {"not run"}
    assert set(states(Quantised(), THREATS["linf"], unless="at chance").values()) == {"not run"}
    assert states(Linear(), Threat("linf", 0.0)) == {"gradients": "passed", "uphill": "not run"}


def test_a_few_vanishing_gradients_are_tolerated():
    class Sometimes(Linear):
        def scores(self, x):
            found = super().scores(x)
            return torch.where(torch.arange(len(x)) < 3, found.detach(), found)

    assert states(Sometimes(), THREATS["linf"])["gradients"] == "passed"  # 3 of 60


@pytest.mark.parametrize("norm", THREATS)
def test_the_surface_of_a_linear_network_is_a_plane(norm):
    threat, model, x = THREATS[norm], Linear(), 0.3 + 0.4 * Images(5).x
    y = model(x).argmax(1)
    found = loss_surface(model, x, y, threat, 0)
    steps, margins = torch.tensor(found["steps"]), torch.tensor(found["margins"])
    assert margins.shape == (3, 17, 17)
    before = margin(model(x), y)[:3].detach()
    slope = 2 * threat.eps * model.weight.detach().norm(p=1 if norm == "linf" else 2)
    torch.testing.assert_close(margins[:, 8], before[:, None] - steps * slope, rtol=1e-3, atol=1e-3)
    aside = margins[:, :, 8] - before[:, None]
    torch.testing.assert_close(aside, -aside.flip(1), rtol=1e-2, atol=2e-3)
    assert 0 < aside.abs().max() < slope
    assert (found["norm"], found["eps"]) == (threat.norm, threat.eps)


def test_without_images_there_is_no_surface():
    none = torch.empty(0, 1, 6, 6), torch.empty(0, dtype=torch.int64)
    assert loss_surface(Linear(), *none, THREATS["linf"], 0) is None


@pytest.mark.slow
@pytest.mark.parametrize(("model", "other", "state"), [(Quantised, Linear, "failed"), (Linear, Quantised, "passed")])
def test_images_of_another_network_find_out_one_that_hides_its_gradients(model, other, state, tmp_path):
    threat = Threat("linf", 10 / 255)
    result = evaluate(
        model(), Images(), [FoolboxPGD(steps=20)], threat, seed=0, batch_size=60, folder=tmp_path, others=[other()]
    )
    (check,) = [one for one in result["checks"] if one["check"] == "transfer"]
    assert check["state"] == state
    assert [one["attack"] for one in result["records"]] == ["pgd20"]
    assert len(result["surface"]["margins"]) == 3


def test_each_other_network_is_tried_until_one_fools():
    x = Images(20).x
    y = Linear()(x).argmax(1)

    def broken(*others):
        return (~Transferred(others=others).run(Linear(), x, y, Threat("linf", 10 / 255), seed=0)).sum()

    assert broken(Quantised(), Linear()) == broken(Linear()) > broken(Quantised())
