"""The conformance suite of objectives refuses each of these mistakes, and says which."""

import pytest
import torch
from torch.nn import functional as F

from dsrna.attacks import PGD
from dsrna.errors import NonFiniteError
from dsrna.objectives import Adversarial, Certified, FreeAdversarial, Result, Standard
from dsrna.testing.objective_conformance import check_objective


class Plain(Adversarial):
    """Adversarial training, short enough for many tests."""

    def __init__(self, threat):
        super().__init__(threat, steps=2, label_smoothing=0.1)


class TrainingModeInside(Plain):
    """The attack's passes are of the network in training mode, as where released code forgets `eval()`."""

    def result(self, model, forward, x, y, generator):
        with torch.no_grad():
            model(x)
        return super().result(model, forward, x, y, generator)


class EvaluationModeStays(Plain):
    def result(self, model, forward, x, y, generator):
        result = super().result(model, forward, x, y, generator)
        model.eval()
        return result


class BatchNormInTrainingMode(Plain):
    def result(self, model, forward, x, y, generator):
        found = super().result(model, forward, x, y, generator)
        for module in model.modules():
            module.train(isinstance(module, torch.nn.BatchNorm2d) or module.training)
        return found


class Careless(Plain):
    """Restores modes, unless something goes wrong."""

    def result(self, model, forward, x, y, generator):
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        model(x)
        for module, mode in modes:
            module.training = mode
        return super().result(model, forward, x, y, generator)


class TakesTheStep(Plain):
    def result(self, model, forward, x, y, generator):
        result = super().result(model, forward, x, y, generator)
        result.loss.backward(retain_graph=True)
        return result


class ChangesImages(Plain):
    def result(self, model, forward, x, y, generator):
        result = super().result(model, forward, x, y, generator)
        x.copy_(result.inputs)
        return result


class OwnDraws(Plain):
    def result(self, model, forward, x, y, generator):
        return super().result(model, forward, x, y, torch.Generator().manual_seed(int(torch.randint(99, ()))))


class AnotherDraw(Plain):
    def result(self, model, forward, x, y, generator):
        generator.seed()
        return super().result(model, forward, x, y, generator)


class Twice(Plain):
    """A ball twice as large."""

    @property
    def attack(self):
        return PGD(self.threat.norm, 2 * self.radius, steps=2)


class Easier(Plain):
    """Walks downhill: trains on images that are easier than the clean ones."""

    def result(self, model, forward, x, y, generator):
        examples = (2 * x - self.attack(model, x, y, generator)).clamp(0, 1)
        outputs = forward(examples)
        return Result(self.cross_entropy(outputs, y), outputs[0], examples)


class CleanLogits(Plain):
    """Reports the clean accuracy for that under attack."""

    def result(self, model, forward, x, y, generator):
        result = super().result(model, forward, x, y, generator)
        return result._replace(logits=forward(x)[0])


class CleanLoss(Plain):
    """Trains on the clean images, and shows the attacked ones."""

    def result(self, model, forward, x, y, generator):
        outputs = forward(x)
        examples = self.attack(model, x, y, generator)
        return Result(self.cross_entropy(outputs, y), model(examples), examples)


class OnLoss(Plain):
    """A loss that is ``change(loss, logits, y)``."""

    change = staticmethod(lambda loss, logits, y: loss)

    def result(self, model, forward, x, y, generator):
        result = super().result(model, forward, x, y, generator)
        return result._replace(loss=self.change(result.loss, result.logits, y))


def changed(change):
    return type("Changed", (OnLoss,), {"change": staticmethod(change)})


class Linked(Plain):
    """Images weigh by how hard they are among their batch mates."""

    def result(self, model, forward, x, y, generator):
        examples = self.attack(model, x, y, generator)
        logits, _ = outputs = forward(examples)
        losses = F.cross_entropy(logits, y, reduction="none")
        weights = losses.detach().softmax(0)
        return Result(self.cross_entropy(outputs, y) + (weights * losses).sum(), logits, examples)


class WithoutHead(Plain):
    def result(self, model, forward, x, y, generator):
        return super().result(model, lambda images: (forward(images)[0], None), x, y, generator)


class WholeHead(Plain):
    """Adds the head's loss without its weight, and unsmoothed."""

    def cross_entropy(self, outputs, y):
        logits, auxiliary = outputs
        loss = super().cross_entropy((logits, None), y)
        return loss if auxiliary is None else loss + F.cross_entropy(auxiliary, y)


class HidesNan(Plain):
    def result(self, model, forward, x, y, generator):
        try:
            return super().result(model, forward, x, y, generator)
        except NonFiniteError:
            outputs = forward(x)
            return Result(self.cross_entropy(outputs, y).nan_to_num(), outputs[0], x)


class Untitled(Plain):
    title = ""


class GraphInNumbers(Plain):
    def result(self, model, forward, x, y, generator):
        result = super().result(model, forward, x, y, generator)
        return result._replace(numbers={"loss_adversarial": result.loss})


class Bold(Standard):
    """Certifies whatever is correct."""

    def certified(self, model, x, y):
        with torch.no_grad():
            return model(x).argmax(1) == y


class Timid(Bold):
    """Certifies nothing."""

    def certified(self, model, x, y):
        return torch.zeros_like(y, dtype=torch.bool)


class AsNumbers(Bold):
    def certified(self, model, x, y):
        return super().certified(model, x, y).float()


class RandomStart(Plain):
    def initialise(self, model):
        with torch.no_grad():
            model[0].weight.normal_(generator=torch.Generator().manual_seed(torch.seed() % 2**31))


class NanStart(Plain):
    def initialise(self, model):
        with torch.no_grad():
            model[0].weight.div_(0.0).sub_(model[0].weight)


class Downhill(FreeAdversarial):
    def _move(self, delta, gradient):
        super()._move(delta, -gradient)


class Forgetful(FreeAdversarial):
    def state(self):
        return {}


class Unbounded(FreeAdversarial):
    def _move(self, delta, gradient):
        self._delta = delta.detach() + 2 * self.radius * gradient.sign()

    def _carried_to(self, x):
        return torch.zeros_like(x) if self._delta is None else self._delta[: len(x)].clone()


class Replays(Plain):
    replays = 2


MISTAKES = {
    "training mode inside the attack": (TrainingModeInside, "doesn't follow the images of the loss alone"),
    "evaluation mode stays": (EvaluationModeStays, "training flags"),
    "BatchNorm in training mode stays": (BatchNormInTrainingMode, "training flags|not those of the inputs"),
    "careless after an error": (Careless, "training flags"),
    "takes the step": (TakesTheStep, r"\.grad (changed|was left behind)"),
    "changes the images": (ChangesImages, "the images changed"),
    "global random numbers": (OwnDraws, "global random numbers were drawn"),
    "another draw every time": (AnotherDraw, "two calls with one seed differ"),
    "a ball twice as large": (Twice, "linf, .*: the inputs are 0.2 away"),
    "easier images": (Easier, "the inputs are easier than the images"),
    "clean logits": (CleanLogits, "the logits are not those of the inputs"),
    "clean loss": (CleanLoss, "the inputs never pass|gradient"),
    "a sum": (changed(lambda loss, logits, y: loss * len(y)), "not the mean over the batch"),
    "one loss an image": (changed(lambda loss, logits, y: loss.expand(len(y))), "expected a scalar loss"),
    "a doubled gradient": (changed(lambda loss, logits, y: 2 * loss - loss.detach()), r"the weights is not .* 2 times"),
    "a detached loss": (changed(lambda loss, logits, y: 0 * logits.sum() + loss.detach()), "gradient doesn't reach"),
    "upside down": (changed(lambda loss, logits, y: 10 - loss), "not below that of those it gives last"),
    "single precision": (changed(lambda loss, logits, y: loss.float()), "expected a loss of torch.float64"),
    "linked images": (Linked, "not the mean over the batch"),
    "forgets the head": (WithoutHead, "auxiliary head doesn't add"),
    "the whole head": (WholeHead, "auxiliary head doesn't add"),
    "hides NaN": (HidesNan, "NaN weights has a finite loss"),
    "no title": (Untitled, "expected a title of one line"),
    "a graph in numbers": (GraphInNumbers, "loss_adversarial is not detached"),
    "certifies what is correct": (Bold, "fools the network at an image that is certified"),
    "certifies nothing": (Timid, "not exactly the correct images are certified"),
    "certifies in numbers": (AsNumbers, "expected one bool an image"),
    "a start without seed": (RandomStart, "`initialise` draws from elsewhere"),
    "carries downhill": (Downhill, "doesn't go uphill"),
    "carries out of the ball": (Unbounded, "leaves the ball"),
    "forgets what it carried": (Forgetful, "doesn't bring it back"),
    "replays without a use": (Replays, "carries nothing from one to the other"),
    "a start of NaN": (NanStart, "`initialise` gives weights of NaN"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_suite_refuses(name):
    objective, message = MISTAKES[name]
    with pytest.raises(AssertionError, match=message):
        check_objective(objective)


@pytest.mark.slow
@pytest.mark.parametrize("objective", [Plain, Standard, lambda threat: Certified(threat, kappa_end=0.5)])
def test_the_suite_accepts(objective):
    check_objective(objective)
