"""The conformance suite of metrics refuses each of these mistakes, and says which."""

import copy

import pytest
import torch
from torch.nn import functional as F

from dsrna.errors import NonFiniteError
from dsrna.metrics.base import RobustnessMetric
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.testing.metric_conformance import check_metric
from dsrna.testing.tiny_networks import TinyMixedNetwork

JACOBIAN = JacobianNorm("l2")


def norms(weight, bias, x, y):
    return -weight.norm(dim=1).mean().expand(len(x))


class Changed:
    """The l_2 Jacobian norm with one promise broken: ``score(model, x, y, generator)``."""

    batch_norm, scale_free, rewards_ignoring_the_input, looks_at_images = "running", False, True, True

    def __init__(self, score=JACOBIAN, **attributes):
        self.score, self.numbers = score, {}
        vars(self).update(attributes)

    def __call__(self, model, x, y, generator=None):
        return self.score(model, x, y, generator)

    def restore(self, numbers):
        self.numbers = numbers

    def advance(self, progress):
        pass


def linked(model, x, y, generator):
    scores = JACOBIAN(model, x, y)
    return scores + 0.1 * scores.mean()


def one_for_all(model, x, y, generator):
    return JACOBIAN(model, x, y).mean().expand(len(x))


def gradient_of_the_mean(model, x, y, generator):
    scores = JACOBIAN(model, x, y)
    return scores.detach() + scores.mean() - scores.mean().detach()


def detached_part(model, x, y, generator):
    scores = JACOBIAN(model, x, y)
    return 0.3 * scores + 0.7 * scores.detach()


def alpha_blind(model, x, y, generator):
    with torch.no_grad():
        scores = JACOBIAN(model, x, y)
    return scores + 0 * sum(parameter.sum() for parameter in model.parameters())


def global_noise(model, x, y, generator):
    torch.rand(1)
    return JACOBIAN(model, x, y)


def another_draw_every_time(model, x, y, generator):
    generator.seed()
    return JacobianNorm("l2", "classes")(model, x, y, generator)


def evaluation_mode_stays(model, x, y, generator):
    scores = JACOBIAN(model, x, y)
    model.eval()
    return scores


def careless_after_an_error(model, x, y, generator):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    scores = JACOBIAN(model, x, y)
    for module, mode in modes:
        module.training = mode
    return scores


def writes_gradients(model, x, y, generator):
    if torch.is_grad_enabled():
        JACOBIAN(model, x, y).sum().backward()
    return JACOBIAN(model, x, y)


def moves_statistics(model, x, y, generator):
    if isinstance(model, TinyMixedNetwork):
        model.stem[1].num_batches_tracked += 1
    return JACOBIAN(model, x, y)


def always_a_graph(model, x, y, generator):
    with torch.inference_mode(False), torch.enable_grad():
        return JACOBIAN(model, x.clone(), y.clone())


def never_a_graph(model, x, y, generator):
    return JACOBIAN(model, x, y).detach()


def hides_nan(model, x, y, generator):
    try:
        return JACOBIAN(model, x, y)
    except NonFiniteError:
        return x.new_zeros(len(x))


def blind_to_the_image(model, x, y, generator):
    return JACOBIAN(model, torch.full_like(x, 0.5) + 0.1 * torch.arange(len(x)).view(-1, 1, 1, 1), y)


class Smoothed(Changed):
    """Scores as a mean over calls."""

    last = 0.0

    def __call__(self, model, x, y, generator=None):
        self.last = 0.9 * self.last + 0.1 * JACOBIAN(model, x, y)
        return self.last


class Forgetful(Changed):
    """Moves with the search, by what ``numbers`` doesn't tell."""

    seen = factor = 1.0

    def __call__(self, model, x, y, generator=None):
        scores = JACOBIAN(model, x, y)
        self.seen = 1.0 + scores.detach().abs().mean()
        return self.factor * scores

    def advance(self, progress):
        self.factor = self.seen


class OverTheSpread(RobustnessMetric):
    """The Jacobian norm in units of the logits' spread over the classes; logits that are constant count as worst."""

    rewards_ignoring_the_input, scale_free = False, True

    def score(self, model, x, y, generator):
        spread = model(x).std(dim=1, correction=0)
        scores = JACOBIAN.score(model, x, y, None)
        constant = (spread == 0) | (scores == 0)
        return (scores / spread.masked_fill(constant, 1)).masked_fill(constant, -1e6)


def over_the_spread(weight, bias, x, y):
    return norms(weight, bias, x, y) / (x.flatten(1) @ weight.T + bias).std(dim=1, correction=0)


MISTAKES = {
    "a share of the batch's mean": (Changed(linked), "depends on its batch mates"),
    "linked where BatchNorm may be": (Changed(linked, batch_norm="batch"), "depends on its batch mates"),
    "the mean for all": (Changed(one_for_all), "every image has the same score"),
    "scores of images that it says not to look at": (Changed(looks_at_images=False), "have scores of their own"),
    "one score for all that changes with them": (Changed(one_for_all, looks_at_images=False), "change with them"),
    "the mean alone": (Changed(lambda *a: JACOBIAN(*a).mean(0, keepdim=True)), "one score an image"),
    "the gradient of the mean": (Changed(gradient_of_the_mean), "gradient to the alphas is not"),
    "a doubled gradient": (Changed(lambda *a: 2 * (s := JACOBIAN(*a)) - s.detach()), r"alphas is not .* 2 times"),
    "a detached part": (Changed(detached_part), r"gradient to the alphas is not .* 0.3 times"),
    "a factor": (Changed(lambda *a: 2 * JACOBIAN(*a)), "on a linear network the formula gives"),
    "another norm": (JacobianNorm("linf"), "on a linear network the formula gives"),
    "a biased estimate": (Changed(lambda *a: 1.2 * JacobianNorm("l2", "classes")(*a)), "on a linear network"),
    "single precision": (Changed(lambda *a: JACOBIAN(*a).float()), "expected torch.float64, got torch.float32"),
    "global random numbers": (Changed(global_noise), "global random numbers"),
    "another draw every time": (Changed(another_draw_every_time), "two calls with one seed differ"),
    "blind to alphas": (Changed(alpha_blind), "reach every alpha"),
    "blind to the image": (Changed(blind_to_the_image), "scores don't depend on their images"),
    "evaluation mode stays": (Changed(evaluation_mode_stays), "training flags"),
    "careless after an error": (Changed(careless_after_an_error), "training flags"),
    "writes gradients": (Changed(writes_gradients), r"\.grad (changed|was left behind)"),
    "moves statistics": (Changed(moves_statistics), "num_batches_tracked changed"),
    "always a graph": (Changed(always_a_graph), "have a graph under no_grad"),
    "never a graph": (Changed(never_a_graph), "no graph although gradients are enabled"),
    "hides NaN": (Changed(hides_nan), "instead of a NonFiniteError"),
    "a mean over calls": (Smoothed(), "two calls with one seed differ"),
    "forgets what it saw": (Forgetful(), "got `numbers` back by `restore`"),
    "numbers that are tensors": (Changed(numbers={"eps": torch.tensor(1.0)}), "finite floats as `numbers`"),
    "says that it is scale-free": (Changed(scale_free=True), "it says `scale_free`, but"),
    "says that ignoring doesn't pay": (Changed(rewards_ignoring_the_input=False), "ignores its input scores 0 in"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_suite_refuses(name):
    metric, message = MISTAKES[name]
    with pytest.raises(AssertionError, match=message):
        check_metric(copy.deepcopy(metric), norms)


def test_a_sign_is_refused_although_the_formula_has_it_too():
    with pytest.raises(AssertionError, match="a fragile network scores higher"):
        check_metric(Changed(lambda *a: -JACOBIAN(*a)), lambda *problem: -norms(*problem))


def test_a_score_that_is_best_near_networks_that_ignore_their_input_is_refused():
    """Although it treats those that ignore it wholly as a case of its own."""
    with pytest.raises(AssertionError, match="let it say `rewards_ignoring_the_input`"):
        check_metric(OverTheSpread(), over_the_spread)


@pytest.mark.slow
def test_a_scale_free_metric_has_to_say_so():
    metric = OverTheSpread()
    metric.rewards_ignoring_the_input, metric.scale_free = True, False
    with pytest.raises(AssertionError, match="set `scale_free`"):
        check_metric(metric, over_the_spread)
    metric.scale_free = True
    check_metric(metric, over_the_spread)


class Adversarial(RobustnessMetric):
    """Minus the cross-entropy at x + eps sign(gradient), which is held fixed."""

    rewards_ignoring_the_input = False
    eps = 0.02

    def score(self, model, x, y, generator):
        images = x.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(images), y, reduction="sum"), images)
        return -F.cross_entropy(model(x + self.eps * gradient.sign()), y, reduction="none")


def test_the_suite_accepts_a_metric_that_does_not_reward_ignoring_the_input():
    def on_linear(weight, bias, x, y):
        wrong = (x.flatten(1) @ weight.T + bias).softmax(1) - F.one_hot(y, 3)
        return -F.cross_entropy((x.flatten(1) + 0.02 * (wrong @ weight).sign()) @ weight.T + bias, y, reduction="none")

    check_metric(Adversarial(), on_linear)


def test_the_suite_accepts_what_the_mistakes_start_from():
    check_metric(Changed(), norms)
