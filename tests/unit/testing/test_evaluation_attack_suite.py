"""The conformance suite of evaluation attacks refuses each of these mistakes, and says which."""

import random
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsrna.attacks import PGD
from dsrna.errors import DsrnaError
from dsrna.evaluation.base import EvaluationAttack, Procedure
from dsrna.testing.evaluation_attack_conformance import check_evaluation_attack


@dataclass(frozen=True, kw_only=True)
class Sound(EvaluationAttack):
    """PGD with a random start."""

    kind = "multi_step"
    steps: int = 3

    def names(self):
        return "sound", "Sound"

    def procedure(self, threat):
        return Procedure("dsrna", self.steps)

    def search(self, model, x, y, threat, seed):
        return PGD(threat.norm, threat.eps, steps=self.steps)(model, x, y, torch.Generator().manual_seed(seed))


class OutsideTheBall(Sound):
    def search(self, model, x, y, threat, seed):
        return x + 1.2 * (super().search(model, x, y, threat, seed) - x)


class InAnotherNorm(Sound):
    def search(self, model, x, y, threat, seed):
        return PGD("linf", min(1.0, threat.eps))(model, x, y, torch.Generator().manual_seed(seed))


class AroundMovedImages(Sound):
    def search(self, model, x, y, threat, seed):
        x.add_(0.05).clamp_(0, 1)
        return super().search(model, x, y, threat, seed)


class OtherImages(Sound):
    def search(self, model, x, y, threat, seed):
        return super().search(model, x, y, threat, seed).flip(0)


class WithDropout(Sound):
    def search(self, model, x, y, threat, seed):
        found = super().search(model, x, y, threat, seed)
        for layer in model.model.modules():
            layer.train(isinstance(layer, nn.Dropout))
        return found


class Still(Sound):
    def search(self, model, x, y, threat, seed):
        model(x)
        return x


class Unseeded(Sound):
    def search(self, model, x, y, threat, seed):
        return super().search(model, x, y, threat, random.getrandbits(30))


class Swallowing(Sound):
    def search(self, model, x, y, threat, seed):
        try:
            return super().search(model, x, y, threat, seed)
        except DsrnaError:
            return x


class PastTheWatch(Sound):
    """Looks at the network itself, whose NaN gradients stand still."""

    def search(self, model, x, y, threat, seed):
        found = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(model.model(found.to(model.dtype)), y), found)
        length = slope.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
        step = slope.sign() if threat.norm == "linf" else slope / length
        return (x + 0.999 * threat.eps * step.nan_to_num()).clamp(0, 1)


class LeavesGradients(Sound):
    def search(self, model, x, y, threat, seed):
        for parameter in model.parameters():
            parameter.requires_grad_(True)
            parameter.grad = torch.zeros_like(parameter)
        return super().search(model, x, y, threat, seed)


class Trains(Sound):
    def search(self, model, x, y, threat, seed):
        with torch.no_grad():
            next(model.parameters()).mul_(1.001)
        return super().search(model, x, y, threat, seed)


class LeavesHooks(Sound):
    def search(self, model, x, y, threat, seed):
        model.model.register_forward_hook(lambda *_: None)
        return super().search(model, x, y, threat, seed)


class MovesClasses(Sound):
    def search(self, model, x, y, threat, seed):
        y.zero_()
        return super().search(model, x, y, threat, seed)


class NoFile(Sound):
    def names(self):
        return "a/b", "A"


class NoEngine(Sound):
    def procedure(self, threat):
        return Procedure("no-such-package", 1)


@dataclass(frozen=True, kw_only=True)
class NotPlain(Sound):
    loss: object = F.cross_entropy


MISTAKES = {
    OutsideTheBall: "refused: Expected examples of Sound in the ball",
    InAnotherNorm: "l2: what the attack found is refused: Expected examples",
    AroundMovedImages: "away from the images|refused",
    OtherImages: "refused: Expected examples",
    WithDropout: "what withstood isn't",
    Still: "nothing is found",
    Unseeded: "one seed differ",
    Swallowing: "NaN gradient is attacked without",
    PastTheWatch: "NaN gradient is attacked without",
    LeavesGradients: "grad was left behind|changed",
    Trains: "changed",
    LeavesHooks: "hooks left behind",
    NoFile: "no name for a file",
    NoEngine: "isn't an installed package",
    NotPlain: "no plain values",
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.__name__)
def test_a_mistake_is_refused(mistake):
    with pytest.raises(AssertionError, match=MISTAKES[mistake]):
        check_evaluation_attack(mistake())


def test_a_sound_attack_passes():
    check_evaluation_attack(Sound())


def test_one_that_writes_into_its_classes_is_judged_by_the_true_ones():
    check_evaluation_attack(MovesClasses())
