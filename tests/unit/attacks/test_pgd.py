"""PGD against a textbook loop, and against the closed form on linear networks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dsrna.attacks import FGSM, PGD, TradesAttack
from dsrna.errors import ConfigError, DataError, UnsupportedError
from dsrna.testing.attack_conformance import tiny_classifier
from tests.thorough import examples

LOSSES = {
    "cross_entropy": lambda logits, clean, y: -logits.softmax(1).gather(1, y[:, None]).log().sum(),
    "margin": lambda logits, clean, y: sum(
        max(row[j] for j in range(len(row)) if j != label) - row[label] for row, label in zip(logits, y, strict=True)
    ),
    "kl": lambda logits, clean, y: (clean.softmax(1) * (clean.softmax(1) / logits.softmax(1)).log()).sum(),
    "squared_error": lambda logits, clean, y: ((clean.softmax(1) - logits.softmax(1)) ** 2).sum(),
}


def batch(images=6, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(images, 2, 6, 6, generator=draw), torch.randint(3, (images,), generator=draw)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def lengths(images):
    return images.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)


def textbook_pgd(model, x, y, start, norm, eps, step_size, steps, loss):
    """The algorithm as papers print it, on a network in evaluation mode."""
    model.eval()
    adversarial = start
    for _ in range(steps):
        adversarial = adversarial.clone().requires_grad_()
        LOSSES[loss](model(adversarial), model(x), y).backward()
        gradient = adversarial.grad
        with torch.no_grad():
            if norm == "linf":
                adversarial = adversarial + step_size * gradient.sign()
                adversarial = torch.maximum(torch.minimum(adversarial, x + eps), x - eps)
            else:
                adversarial = adversarial + step_size * gradient / lengths(gradient)
                away = adversarial - x
                adversarial = x + away * torch.minimum(torch.ones(1).double(), eps / lengths(away))
            adversarial = adversarial.clamp(0, 1)
    return adversarial.detach()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("norm", "eps", "step_size"), [("linf", 0.1, 0.03), ("l2", 0.8, 0.3)])
def test_iterates_equal_the_textbook(norm, eps, step_size, loss):
    x, y = batch()
    x, model = x.double(), tiny_classifier().double()
    draw = seeded()
    if norm == "linf":
        start = x + (2 * torch.rand(x.shape, generator=draw, dtype=x.dtype) - 1) * eps
    else:
        direction = torch.randn(x.shape, generator=draw, dtype=x.dtype)
        share = torch.rand(len(x), 1, 1, 1, generator=draw, dtype=x.dtype)
        start = x + eps * share ** (1 / 72) * direction / lengths(direction)
    expected = textbook_pgd(model, x, y, start.clamp(0, 1), norm, eps, step_size, 4, loss)
    found = PGD(norm, eps, step_size, steps=4, loss=loss)(model, x, y, seeded())
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_trades_attack_equals_the_textbook(norm):
    x, y = batch()
    x, model = x.double(), tiny_classifier().double()
    start = x + 0.001 * torch.randn(x.shape, generator=seeded(), dtype=x.dtype)
    expected = textbook_pgd(model, x, y, start.clamp(0, 1), norm, 0.2, 0.06, 3, "kl")
    torch.testing.assert_close(TradesAttack(norm, 0.2, 0.06, steps=3)(model, x, y, seeded()), expected)


def test_fgsm_is_one_step_to_the_edge():
    x, y = batch()
    model = tiny_classifier()
    expected = textbook_pgd(model, x, y, x, "linf", 0.1, 0.1, 1, "cross_entropy")
    torch.testing.assert_close(FGSM("linf", 0.1)(model, x, y), expected)


def test_fgsm_with_random_start_steps_a_quarter_further():
    x, y = batch()
    model = tiny_classifier()
    start = (x + (2 * torch.rand(x.shape, generator=seeded()) - 1) * 0.1).clamp(0, 1)
    expected = textbook_pgd(model, x, y, start, "linf", 0.1, 0.125, 1, "cross_entropy")
    torch.testing.assert_close(FGSM("linf", 0.1, random_start=True)(model, x, y, seeded()), expected)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_restarts_keep_the_highest_loss_among_successes(norm):
    x, y = batch(images=40)
    model = tiny_classifier().eval()
    eps = {"linf": 0.06, "l2": 0.3}[norm]
    draw = seeded()
    runs = [PGD(norm, eps, steps=1, loss="cross_entropy")(model, x, y, draw) for _ in range(4)]
    found = PGD(norm, eps, steps=1, restarts=4, loss="cross_entropy")(model, x, y, seeded())
    chosen = set()
    for image in range(len(x)):
        scores = []
        for run in runs:
            logits = model(run[image : image + 1])
            fooled = bool(logits.argmax(1) != y[image])
            scores.append((fooled, F.cross_entropy(logits, y[image : image + 1]).item()))
        best = max(range(4), key=scores.__getitem__)
        chosen.add(best)
        assert torch.equal(found[image], runs[best][image])
    assert len(chosen) > 1  # else the test would not tell selection from taking one run


@pytest.mark.slow
@examples(25)
@given(
    seed=st.integers(0, 10_000),
    norm=st.sampled_from(["linf", "l2"]),
    share=st.floats(0.01, 1),
    steps=st.integers(1, 6),
    random_start=st.booleans(),
)
def test_linear_network_has_the_closed_form(seed, norm, share, steps, random_start):
    draw = seeded(seed)
    weight = torch.randn(1, 12, generator=draw, dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.cat([weight, -weight]))
        model[1].bias.copy_(torch.tensor([-0.5, 0.5]) * weight.sum())  # boundary through the grey image
    x = 0.3 + 0.4 * torch.rand(30, 3, 2, 2, generator=draw, dtype=torch.float64)
    y = torch.randint(2, (30,), generator=draw)
    eps = 0.3 * share  # the ball stays inside the box
    score = (x.flatten(1) - 0.5) @ weight[0] * torch.where(y == 0, 1, -1)
    dual = weight.abs().sum() if norm == "linf" else weight.norm()
    found = PGD(norm, eps, step_size=2 * eps, steps=steps, random_start=random_start)(model, x, y, seeded(seed))
    robust = model(found).argmax(1) == y
    decided = (score - eps * dual).abs() > 1e-9
    if norm == "linf" or not random_start:
        assert torch.equal(robust[decided], (score > eps * dual)[decided])
    else:  # from a random start, l_2 steps only come close to the furthest point
        assert not (score <= 0)[robust].any()
        assert (robust >= (score > eps * dual))[decided].all()
    assert (robust <= (model(x).argmax(1) == y)).all()


@pytest.mark.slow
@examples(25)
@given(seed=st.integers(0, 10_000), norm=st.sampled_from(["linf", "l2"]), eps=st.floats(0, 1))
def test_examples_stay_in_ball_and_box(seed, norm, eps):
    x, y = batch(seed=seed)
    x = (1.4 * x - 0.2).clamp(0, 1)  # some pixels on the edge of the box
    model = tiny_classifier(seed=seed)
    found = PGD(norm, eps, steps=2, restarts=2)(model, x, y, seeded(seed))
    order = float("inf") if norm == "linf" else 2
    assert ((found - x).flatten(1).norm(p=order, dim=1) <= eps + 1e-6).all()
    assert ((found >= 0) & (found <= 1)).all()
    assert torch.equal(found, PGD(norm, eps, steps=2, restarts=2)(model, x, y, seeded(seed)))


def test_a_step_costs_one_forward_pass():
    calls = []
    model = tiny_classifier()
    model.register_forward_hook(lambda *_: calls.append(1))
    PGD("linf", 0.1, steps=7)(model, *batch(), seeded())
    assert len(calls) == 7


def test_step_size_follows_madry_by_default():
    assert PGD("linf", 0.1, steps=5).step_size == pytest.approx(0.05)


def test_empty_batch():
    x, y = batch(images=0)
    assert PGD("linf", 0.1)(tiny_classifier(), x, y, seeded()).shape == x.shape


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": 8}, "did you mean 8/255"),
        ({"eps": -0.1}, "eps"),
        ({"norm": "l1"}, "'linf' or 'l2'"),
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"restarts": 0}, "restarts"),
        ({"restarts": 2, "random_start": False}, "restarts"),
        ({"step_size": 0.0}, "step_size"),
        ({"step_size": 2}, "did you mean 2/255"),
        ({"step_size": 0.21}, "2 \\* eps"),
        ({"loss": "hinge"}, "cross_entropy, margin, kl"),
        ({"loss": "kl", "random_start": False}, "random_start"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        PGD(**({"norm": "linf", "eps": 0.1} | settings))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.full((2, 2, 6, 6), 3, dtype=torch.uint8), torch.zeros(2).long(), "floating point"),
        (torch.full((2, 2, 6, 6), 1.01), torch.zeros(2).long(), r"\[0, 1\]"),
        (torch.full((2, 2, 6, 6), float("nan")), torch.zeros(2).long(), r"\[0, 1\]"),
        (torch.rand(2, 2, 6, 6), torch.zeros(3).long(), "one int64 class an image"),
        (torch.rand(2, 2, 6, 6), torch.zeros(2), "one int64 class an image"),
    ],
)
def test_bad_batches_are_refused(x, y, message):
    with pytest.raises(DataError, match=message):
        PGD("linf", 0.1)(tiny_classifier(), x, y, seeded())


def test_random_start_needs_a_generator():
    with pytest.raises(ConfigError, match="generator"):
        PGD("linf", 0.1)(tiny_classifier(), *batch())


def test_network_without_gradient_is_named_as_such():
    class Counting(nn.Module):
        def forward(self, x):
            return F.one_hot((x.flatten(1).sum(1) > 30).long(), 3).float()

    with pytest.raises(UnsupportedError, match="black-box"):
        PGD("linf", 0.1)(Counting(), *batch(), seeded())
