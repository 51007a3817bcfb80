"""The conformance suite of attacks refuses each of these mistakes, and says which."""

import pytest
import torch
from torch.nn import functional as F

from dsrna.attacks import PGD
from dsrna.functional.projections import project, uniform_start
from dsrna.testing.attack_conformance import check_attack


def changed(change):
    """An attack as ``change(pgd, model, x, y, generator, eps) -> examples`` makes it of PGD."""

    def build(norm, eps):
        attack = PGD(norm, eps, steps=5)
        return lambda model, x, y, generator: change(attack, model, x, y, generator, eps)

    return build


@changed
def leaves_the_box(attack, model, x, y, generator, eps):
    return attack(model, x, y, generator) - 0.01


@changed
def keeps_a_graph(attack, model, x, y, generator, eps):
    return attack(model, x, y, generator).requires_grad_()


@changed
def always_single_precision(attack, model, x, y, generator, eps):
    return attack(model, x, y, generator).float()


@changed
def some_images_alone(attack, model, x, y, generator, eps):
    return torch.cat([attack(model, x[:4], y[:4], generator), x[4:]])


@changed
def global_randomness(attack, model, x, y, generator, eps):
    return attack(model, x, y, torch.Generator().manual_seed(int(torch.randint(10**6, ()))))


@changed
def another_start_every_time(attack, model, x, y, generator, eps):
    generator.seed()
    return attack(model, x, y, generator)


@changed
def mixes_images(attack, model, x, y, generator, eps):
    found = attack(model, x, y, generator)
    return x + (found - x) * found[1:].mean()


@changed
def asleep_without_gradients(attack, model, x, y, generator, eps):
    return attack(model, x, y, generator) if torch.is_grad_enabled() else x.clone()


@changed
def random_noise(attack, model, x, y, generator, eps):
    attack(model, x, y, generator)
    return uniform_start(x, attack.threat.norm, eps, generator)


@changed
def walks_downhill(attack, model, x, y, generator, eps):
    return (2 * x - attack(model, x, y, generator)).clamp(0, 1)


@changed
def of_another_class(attack, model, x, y, generator, eps):
    """An attack on the wrong classes, which moves images away from them."""
    return attack(model, x, (y + 1) % 3, generator)


@changed
def evaluation_mode_stays(attack, model, x, y, generator, eps):
    found = attack(model, x, y, generator)
    model.eval()
    return found


@changed
def statistics_move(attack, model, x, y, generator, eps):
    modes = [module.training for module in model.modules()]
    model.train()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        model(x)
    for module, mode in zip(model.modules(), modes, strict=True):
        module.training = mode
    return attack(model, x, y, generator)


@changed
def gradients_stay(attack, model, x, y, generator, eps):
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return attack(model, x, y, generator)


@changed
def weights_stay_frozen(attack, model, x, y, generator, eps):
    model.requires_grad_(False)
    return attack(model, x, y, generator)


@changed
def hooks_stay(attack, model, x, y, generator, eps):
    model.register_forward_hook(lambda *_: None)
    return attack(model, x, y, generator)


@changed
def changes_its_input(attack, model, x, y, generator, eps):
    found = attack(model, x, y, generator)
    x *= 0.99
    return found


@changed
def careless_after_an_error(attack, model, x, y, generator, eps):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    found = attack(model, x, y, generator)
    for module, mode in modes:
        module.training = mode
    return found


class BySign:
    """FGSM as it is often written: a gradient of NaN has the sign 0."""

    def __init__(self, norm, eps):
        self.norm, self.eps = norm, eps

    def __call__(self, model, x, y, generator):
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            with torch.inference_mode(False), torch.enable_grad():
                images = x.clone().requires_grad_()
                (gradient,) = torch.autograd.grad(F.cross_entropy(model(images), y.clone(), reduction="sum"), images)
        finally:
            for module, mode in modes:
                module.training = mode
        direction = gradient.sign() if self.norm == "linf" else F.normalize(gradient.flatten(1)).view_as(gradient)
        return project(x + self.eps * direction, x, self.norm, self.eps)


MISTAKES = {
    "a ball twice as large": (lambda norm, eps: PGD(norm, 2 * eps, steps=5), "linf: the examples are 0.2 away"),
    "Euclidean steps in l_inf": (lambda norm, eps: PGD("linf", eps, steps=5), "l2: the examples are .* away"),
    "leaves the box": (leaves_the_box, r"leave \[0, 1\]"),
    "keeps a graph": (keeps_a_graph, "not detached"),
    "always single precision": (always_single_precision, "got torch.float32, expected torch.float64"),
    "some images alone": (some_images_alone, "not move every image"),
    "global random numbers": (global_randomness, "global random numbers were drawn"),
    "another start every time": (another_start_every_time, "two runs with one seed differ"),
    "mixes images": (mixes_images, "batch mates"),
    "shares statistics": (lambda norm, eps: PGD(norm, eps, steps=5, batch_norm="batch"), "batch mates"),
    "asleep without gradients": (asleep_without_gradients, "differs under no_grad"),
    "random noise": (random_noise, "random points of the ball do better"),
    "walks downhill": (walks_downhill, "accuracy rises|random points of the ball do better"),
    "of another class": (of_another_class, "accuracy rises|random points of the ball do better"),
    "evaluation mode stays": (evaluation_mode_stays, "training flags"),
    "statistics move": (statistics_move, "running_mean changed"),
    "gradients stay": (gradients_stay, r"\.grad (changed|was left behind)"),
    "weights stay frozen": (weights_stay_frozen, "requires_grad flags"),
    "hooks stay": (hooks_stay, "hooks left behind"),
    "changes its input": (changes_its_input, "the images changed"),
    "careless after an error": (careless_after_an_error, "training flags"),
    "takes the sign of NaN": (BySign, "NaN gradient is attacked without"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_suite_refuses(name):
    build, message = MISTAKES[name]
    with pytest.raises(AssertionError, match=message):
        check_attack(build)


def test_images_that_share_more_than_statistics():
    with pytest.raises(AssertionError, match="batch mates"):
        check_attack(mixes_images, shares_statistics=True)
