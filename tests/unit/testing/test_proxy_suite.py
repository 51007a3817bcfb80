"""The conformance suite of proxies refuses each of these mistakes, and says which."""

import pytest
import torch
from torch.nn import functional as F

from dsrna.errors import NonFiniteError
from dsrna.proxies.snip import Snip
from dsrna.testing.proxy_conformance import check_proxy
from dsrna.testing.proxy_networks import image_batch, plain_network

SNIP = Snip()


def of_a_tensor(model, x, y, generator):
    return torch.tensor(SNIP(model, x, y, generator))


def infinite(model, x, y, generator):
    return SNIP(model, x, y, generator) / 1e-320


def global_noise(model, x, y, generator):
    torch.rand(1)
    return SNIP(model, x, y, generator)


def another_draw_every_time(model, x, y, generator):
    generator.seed()
    return SNIP(model, x, y) * (1 + float(torch.rand((), generator=generator)))


def in_its_mode(model, x, y, generator):
    return SNIP(model, x, y, generator) + float(model.training)


def of_learnable_weights_alone(model, x, y, generator):
    SNIP(model, x, y, generator)
    return float(sum(p.abs().sum().item() for p in model.parameters() if p.requires_grad))


def with_gradients_alone(model, x, y, generator):
    return SNIP(model, x, y, generator) if torch.is_grad_enabled() else 0.0


def evaluation_mode_stays(model, x, y, generator):
    model.eval()
    return SNIP(model, x, y, generator)


def flags_stay(model, x, y, generator):
    model.requires_grad_(True)
    return SNIP(model, x, y, generator)


def gradients_stay(model, x, y, generator):
    score = SNIP(model, x, y, generator)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return score


def hooks_stay(model, x, y, generator):
    for module in model.modules():
        module.register_forward_hook(lambda *_: None)
    return SNIP(model, x, y, generator)


def statistics_move(model, x, y, generator):
    modes = [module.training for module in model.modules()]
    model.train()
    with torch.no_grad():
        model(x)
    for module, mode in zip(model.modules(), modes, strict=True):
        module.training = mode
    return SNIP(model, x, y, generator)


def weights_change(model, x, y, generator):
    with torch.no_grad():
        next(model.parameters()).mul_(1.01)
    return SNIP(plain_network(), x, y, generator)


def images_change(model, x, y, generator):
    score = SNIP(model, x, y, generator)
    x[0, 0, 0, 0] = 0.0 if x[0, 0, 0, 0] != 0 else 0.5
    return score


def careless_after_an_error(model, x, y, generator):
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    with torch.no_grad():
        F.cross_entropy(model.eval()(x), y)
    for module, mode in modes:
        module.training = mode
    return SNIP(model, x, y, generator)


def hides_nan(model, x, y, generator):
    try:
        return SNIP(model, x, y, generator)
    except NonFiniteError:
        return -1e9


def of_the_size(model, x, y, generator):
    return float(sum(parameter.numel() for parameter in model.parameters()))


class Remembering:
    """Scores the first network alone, and the following ones by it."""

    def __init__(self):
        self.before = None

    def __call__(self, model, x, y, generator=None):
        score = SNIP(model, x, y, generator)
        self.before = score if self.before is None else max(self.before, score)
        return self.before


class ByName(Remembering):
    """Keeps what it has computed, by what doesn't tell networks apart."""

    def __call__(self, model, x, y, generator=None):
        self.before = self.before or SNIP(model, x, y, generator)
        return self.before


MISTAKES = {
    "a tensor": (of_a_tensor, "expected a float, got Tensor"),
    "infinite": (infinite, "expected a finite score, got inf"),
    "global random numbers": (global_noise, "global random numbers were drawn"),
    "another draw every time": (another_draw_every_time, "two calls with one seed differ"),
    "depends on the mode": (in_its_mode, "another score with training = False"),
    "depends on the flags": (of_learnable_weights_alone, "where no parameter requires a gradient"),
    "depends on whether there are gradients": (with_gradients_alone, "another score under no_grad"),
    "evaluation mode stays": (evaluation_mode_stays, "training flags"),
    "flags stay": (flags_stay, "requires_grad flags"),
    "gradients stay": (gradients_stay, r"\.grad (changed|was left behind)"),
    "hooks stay": (hooks_stay, "hooks left behind"),
    "statistics move": (statistics_move, "running_mean changed"),
    "weights change": (weights_change, "weight changed"),
    "images change": (images_change, "the images changed|two calls with one seed differ"),
    "careless after an error": (careless_after_an_error, "training flags"),
    "hides NaN": (hides_nan, "instead of a NonFiniteError"),
    "counts where it says that it reads": (of_the_size, "another network of the same size has the same score"),
    "kept from the first network": (ByName(), "another network of the same size has the same score"),
    "never less than before": (Remembering(), "depends on what was scored before|has the same score"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_suite_refuses(name):
    proxy, message = MISTAKES[name]
    with pytest.raises(AssertionError, match=message):
        check_proxy(proxy, plain_network(), *image_batch())


def test_the_suite_accepts_what_the_mistakes_start_from():
    check_proxy(SNIP, plain_network(), *image_batch())


def test_the_suite_accepts_what_counts_and_says_so():
    check_proxy(of_the_size, plain_network(), *image_batch(), reads_weights=False)
