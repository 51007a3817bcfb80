"""Training losses against textbook computations."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.attacks import FGSM, PGD, TradesAttack
from dsrna.errors import ConfigError
from dsrna.objectives import Adversarial, FastAdversarial, Standard, Trades
from dsrna.testing.attack_conformance import tiny_classifier
from dsrna.types import Threat

THREATS = [Threat("linf", 0.1), Threat("l2", 0.5)]
OBJECTIVES = {
    "standard": lambda threat, **settings: Standard(threat, **settings),
    "adversarial": lambda threat, **settings: Adversarial(threat, steps=3, **settings),
    "fast": lambda threat, **settings: FastAdversarial(threat, **settings),
    "trades": lambda threat, **settings: Trades(threat, steps=3, **settings),
}
ATTACKS = {
    "adversarial": lambda threat: PGD(threat.norm, threat.eps, steps=3),
    "fast": lambda threat: FGSM(threat.norm, threat.eps, random_start=True),
    "trades": lambda threat: TradesAttack(threat.norm, threat.eps, steps=3),
}


def network(dropout=False):
    """In training mode; without dropout, which would make the textbook's forward pass another one."""
    model = tiny_classifier()
    if not dropout:
        model[3] = nn.Identity()
    return model.double()


def batch():
    draw = torch.Generator().manual_seed(0)
    return torch.rand(6, 2, 6, 6, generator=draw).double(), torch.randint(3, (6,), generator=draw)


def seeded():
    return torch.Generator().manual_seed(1)


def textbook_cross_entropy(logits, y, smoothing=0.0):
    target = F.one_hot(y, 3) * (1 - smoothing) + smoothing / 3
    return -(target * logits.softmax(1).log()).sum(1).mean()


def gradients(loss, model):
    return torch.autograd.grad(loss, list(model.parameters()))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_standard_is_cross_entropy(smoothing):
    (x, y), model = batch(), network()
    result = Standard(label_smoothing=smoothing)(model, x, y)
    torch.testing.assert_close(result.loss, textbook_cross_entropy(model(x), y, smoothing))
    assert torch.equal(result.inputs, x)


@pytest.mark.parametrize("threat", THREATS, ids=str)
@pytest.mark.parametrize("name", ["adversarial", "fast"])
def test_adversarial_losses_are_cross_entropy_on_the_examples(name, threat):
    (x, y), model = batch(), network()
    reference = copy.deepcopy(model)
    examples = ATTACKS[name](threat)(reference, x, y, seeded())
    expected = textbook_cross_entropy(reference(examples), y, 0.1)
    result = OBJECTIVES[name](threat, label_smoothing=0.1)(model, x, y, seeded())
    torch.testing.assert_close(result.loss, expected)
    torch.testing.assert_close(result.inputs, examples)
    torch.testing.assert_close(gradients(result.loss, model), gradients(expected, reference))


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_trades_is_clean_loss_plus_divergence(threat):
    (x, y), model = batch(), network()
    reference = copy.deepcopy(model)
    examples = ATTACKS["trades"](threat)(reference, x, y, seeded())
    clean, adversarial = reference(x).softmax(1), reference(examples).softmax(1)
    divergence = (clean * (clean / adversarial).log()).sum(1).mean()
    expected = -clean.gather(1, y[:, None]).log().mean() + 4 * divergence
    result = OBJECTIVES["trades"](threat, beta=4.0)(model, x, y, seeded())
    assert divergence > 1e-4
    torch.testing.assert_close(result.loss, expected)
    torch.testing.assert_close(gradients(result.loss, model), gradients(expected, reference))


@pytest.mark.parametrize(("name", "passes"), [("standard", 1), ("adversarial", 1), ("fast", 1), ("trades", 2)])
def test_batchnorm_follows_the_images_of_the_loss_only(name, passes):
    (x, y), model = batch(), network()
    result = OBJECTIVES[name](THREATS[0])(model, x, y, seeded())
    reference = network()
    for images in [x, result.inputs][-passes:]:
        reference(images)
    assert model[1].num_batches_tracked == passes
    torch.testing.assert_close(model[1].running_mean, reference[1].running_mean)
    torch.testing.assert_close(model[1].running_var, reference[1].running_var)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradient_reaches_every_weight_and_modes_stay(name):
    (x, y), model = batch(), network(dropout=True)
    model[1].eval()
    modes = [module.training for module in model.modules()]
    result = OBJECTIVES[name](THREATS[0])(model, x, y, seeded())
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    result.loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize("name", ["adversarial", "fast", "trades"])
def test_logits_and_inputs_belong_together(name):
    (x, y), model = batch(), network().eval()
    result = OBJECTIVES[name](THREATS[0])(model, x, y, seeded())
    torch.testing.assert_close(model(result.inputs), result.logits)
    assert (result.inputs - x).abs().max() <= 0.1 + 1e-9
    assert (result.inputs - x).abs().max() > 0.001


@pytest.mark.parametrize("name", OBJECTIVES)
def test_auxiliary_head_adds_its_smoothed_cross_entropy(name):
    (x, y), model = batch(), network()
    auxiliary = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).double()
    seen = []

    def loss_forward(images):
        seen.append(images)
        return model(images), auxiliary(images)

    objective = OBJECTIVES[name](THREATS[0], label_smoothing=0.2, auxiliary_weight=0.7)
    without = objective(copy.deepcopy(model), x, y, seeded()).loss
    with_head = objective(model, x, y, seeded(), loss_forward).loss
    # TRADES's cross-entropy is that of the clean images, the first that pass.
    extra = 0.7 * textbook_cross_entropy(auxiliary(seen[0]), y, 0.2)
    torch.testing.assert_close(with_head, without + extra)
    assert torch.equal(seen[0], x) == (name in ("standard", "trades"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Standard(label_smoothing=1.0), "label_smoothing"),
        (lambda: Standard(auxiliary_weight=-1), "auxiliary_weight"),
        (lambda: Trades(THREATS[0], beta=-1), "beta"),
        (lambda: Trades(THREATS[0], steps=0), "steps"),
        (lambda: Adversarial(THREATS[0], step_size=2), "did you mean 2/255"),
    ],
)
def test_bad_settings_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e20])
def test_trades_of_saturated_logits_is_finite(scale):
    """Where log-probabilities are -1e20, their divergence mustn't be 0 times infinity."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model[1].weight.copy_(scale * torch.randn(3, 4, generator=draw))
    x = torch.rand(6, 1, 2, 2, generator=draw)
    loss = Trades(Threat("linf", 0.1), steps=2)(model, x, model(x).argmax(1), draw).loss
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    assert all(tensor.isfinite().all() for tensor in (loss, *gradients))
