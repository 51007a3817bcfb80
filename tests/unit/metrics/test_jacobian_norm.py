"""The Jacobian norm against closed forms, finite differences and a Jacobian written out row by row."""

import math

import pytest
import torch
from torch import nn

from dsrna.errors import ConfigError, NonFiniteError, UnsupportedError
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.testing.metric_conformance import check_metric
from dsrna.testing.tiny_networks import TinyMixedNetwork, faulty_network, linear_network, tiny_images

NORMS = ["linf", "l2", "l1"]
Y = torch.tensor([0, 1, 2, 0])
SETTINGS = [
    {"norm": norm, "estimator": estimator, "derivative": derivative}
    for norm in NORMS
    for estimator in ("exact", "classes", "projection")
    for derivative in ("autograd", "central_difference")
    if estimator != "projection" or norm == "l2"
]


def dual_norms(rows, norm):
    """||.||_q over the last dimension, from the definition."""
    if norm == "linf":
        return rows.abs().sum(-1)
    return rows.square().sum(-1).sqrt() if norm == "l2" else rows.abs().amax(-1)


def jacobian_by_differences(model, x, step=1e-6):
    """(N, K, D), pixel by pixel."""
    columns = []
    for pixel in range(x[0].numel()):
        move = torch.zeros_like(x[0]).flatten()
        move[pixel] = step
        move = move.view_as(x[0])
        columns.append((model(x + move) - model(x - move)).detach() / (2 * step))
    return torch.stack(columns, dim=2)


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def any_classes(count):
    """True classes, at which the Jacobian norm doesn't look."""
    return torch.zeros(count, dtype=torch.int64)


def relative_error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def alpha_gradient(metric, model, x, seed=0):
    scores = metric(model, x, any_classes(len(x)), draw(seed))
    return torch.autograd.grad(scores.mean(), model.alphas)[0]


def differences_in_alphas(metric, model, x, step):
    """The derivative of the mean score by central differences, alpha by alpha."""
    differences = torch.zeros_like(model.alphas)
    for index in range(model.alphas.numel()):
        means = []
        for sign in (1, -1):
            with torch.no_grad():
                model.alphas.view(-1)[index] += sign * step
                means.append(metric(model, x, any_classes(len(x)), draw()).mean())
                model.alphas.view(-1)[index] -= sign * step
        differences.view(-1)[index] = (means[0] - means[1]) / (2 * step)
    return differences


@pytest.mark.parametrize("batch_norm", ["running", "batch"])
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(setting.values()))
def test_conformance(setting, batch_norm):
    check_metric(
        JacobianNorm(**setting, batch_norm=batch_norm),
        lambda weight, bias, x, y: -dual_norms(weight, setting["norm"]).mean().expand(len(x)),
    )


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(setting.values()))
def test_linear_network_has_the_norms_of_its_weights(setting):
    weight = torch.randn(3, 72, generator=draw(), dtype=torch.float64)
    scores = JacobianNorm(**setting, projections=4000)(linear_network(weight), tiny_images(), Y, draw())
    expected = -dual_norms(weight, setting["norm"]).mean()
    rtol = 0.05 if setting["estimator"] == "projection" else 1e-9
    torch.testing.assert_close(scores, expected.expand(4), rtol=rtol, atol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_convolution_network_agrees_with_finite_differences(norm):
    model, x = TinyMixedNetwork().eval(), tiny_images()
    expected = -dual_norms(jacobian_by_differences(model, x), norm).mean(dim=1)
    torch.testing.assert_close(JacobianNorm(norm)(model.train(), x, Y), expected.detach(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_batch_statistics_are_used_on_request(norm):
    model, x = TinyMixedNetwork(), tiny_images()
    model.dropout.eval()
    rows = torch.stack(
        [torch.autograd.grad(model(v := x.clone().requires_grad_())[:, k].sum(), v)[0] for k in range(3)]
    )
    expected = -dual_norms(rows.flatten(2), norm).mean(dim=0)
    found = JacobianNorm(norm, batch_norm="batch")(TinyMixedNetwork(), x, Y)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, JacobianNorm(norm)(TinyMixedNetwork(), x, Y), rtol=1e-2)


@pytest.mark.parametrize(
    "setting",
    [setting for setting in SETTINGS if setting["derivative"] == "autograd"],
    ids=lambda setting: "-".join(setting.values()),
)
@pytest.mark.parametrize("batch_norm", ["running", "batch"])
def test_gradient_of_every_alpha_agrees_with_finite_differences(setting, batch_norm):
    metric, model, x, step = JacobianNorm(**setting, batch_norm=batch_norm), TinyMixedNetwork(), tiny_images(), 1e-6
    gradient = alpha_gradient(metric, model, x)
    differences = differences_in_alphas(metric, model, x, step)
    assert relative_error(gradient, differences) < 1e-6


def test_all_classes_give_the_exact_score():
    model, x = TinyMixedNetwork(), tiny_images()
    for projections in (3, 100):
        drawn = JacobianNorm("linf", "classes", projections)(model, x, Y, draw())
        torch.testing.assert_close(drawn, JacobianNorm("linf")(model, x, Y), rtol=1e-12, atol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_drawn_classes_are_rows_without_repeats(norm):
    model, x = TinyMixedNetwork(classes=4).eval(), tiny_images(1)
    norms = dual_norms(jacobian_by_differences(model, x), norm)[0].tolist()
    pairs = {round((norms[i] + norms[j]) / 2, 5) for i in range(4) for j in range(i)}
    scores = JacobianNorm(norm, "classes", projections=2)(model, x.expand(300, -1, -1, -1), any_classes(300), draw())
    assert {round(-score, 5) for score in scores.tolist()} == pairs


@pytest.mark.parametrize(
    ("setting", "projections"),
    [
        ({"norm": "linf", "estimator": "classes"}, 1),
        ({"norm": "l2", "estimator": "classes"}, 2),
        ({"norm": "l2", "estimator": "projection"}, 1),
        ({"norm": "l2", "estimator": "projection"}, 3),
    ],
)
def test_estimators_are_unbiased(setting, projections):
    copies = 4000
    model, x = TinyMixedNetwork(classes=5), tiny_images(1)
    exact = JacobianNorm(setting["norm"])(model, x, torch.zeros(1, dtype=torch.int64)).item()
    with torch.no_grad():
        metric = JacobianNorm(**setting, projections=projections)
        scores = metric(model, x.expand(copies, -1, -1, -1), any_classes(copies), draw(7))
    deviation = scores.std().item() / math.sqrt(copies)
    assert 0 < deviation < 0.02 * abs(exact)
    assert abs(scores.mean().item() - exact) < 4 * deviation


@pytest.mark.parametrize(
    "setting",
    [setting for setting in SETTINGS if setting["derivative"] == "autograd"],
    ids=lambda setting: "-".join(setting.values()),
)
def test_central_differences_are_of_second_order_on_smooth_networks(setting):
    model, x = TinyMixedNetwork(activation=nn.Tanh), tiny_images()
    exact = alpha_gradient(JacobianNorm(**setting), model, x)

    def error(step, dtype=torch.float64):
        metric = JacobianNorm(**setting | {"derivative": "central_difference"}, difference_step=step)
        return relative_error(alpha_gradient(metric, model.to(dtype), x.to(dtype)).double(), exact)

    assert error(1e-2) < 5e-3
    assert error(1e-2) / error(1e-3) == pytest.approx(100, rel=0.1)
    if setting["estimator"] != "projection":
        assert error(1e-2, torch.float32) < 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_with_relu_central_differences_follow_the_mean_score_where_autograd_does_not(norm):
    """Kinks that pass an image change its row by a jump; over many images that is part of the derivative."""
    model, x, step = TinyMixedNetwork(), tiny_images(2000), 0.03
    differences = differences_in_alphas(JacobianNorm(norm), model, x, step)
    assert relative_error(alpha_gradient(JacobianNorm(norm), model, x), differences) > 0.2
    found = alpha_gradient(JacobianNorm(norm, derivative="central_difference"), model, x)
    assert relative_error(found, differences) < 0.05


@pytest.mark.parametrize("norm", NORMS)
def test_central_differences_keep_the_exact_value_of_rows(norm):
    model, x = TinyMixedNetwork(), tiny_images()
    found = JacobianNorm(norm, derivative="central_difference", difference_step=0.1)(model, x, Y)
    torch.testing.assert_close(found, JacobianNorm(norm)(model, x, Y), rtol=1e-12, atol=0)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(setting.values()))
def test_a_constant_network_scores_zero_with_zero_gradient(setting):
    model = TinyMixedNetwork()
    nn.init.zeros_(model.classifier.weight)
    scores = JacobianNorm(**setting)(model, tiny_images(), Y, draw())
    assert torch.equal(scores, torch.zeros_like(scores))
    (gradient,) = torch.autograd.grad(scores.sum(), model.alphas)
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("scale", [1e-30, 1e-16, 1e25])
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(setting.values()))
def test_scores_are_as_large_as_the_weights_in_single_precision(setting, scale):
    weight = torch.randn(3, 72, generator=draw(1))
    x = tiny_images(dtype=torch.float32)
    expected = JacobianNorm(**setting)(linear_network(weight), x, Y, draw()) * scale
    found = JacobianNorm(**setting)(linear_network(scale * weight), x, Y, draw())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("batch_norm", ["running", "batch"])
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(setting.values()))
def test_a_score_that_is_no_number_names_image_and_layer(setting, batch_norm):
    """Where the layer's gradient is NaN; central differences along a random image meet its values alone."""
    x = 0.5 * tiny_images(dtype=torch.float32)
    x[2, 0, 0, 0] = 0.9
    differences = setting["estimator"] == "projection" and setting["derivative"] == "central_difference"
    model = faulty_network("nan logits" if differences else "nan gradient", 72)
    with pytest.raises(NonFiniteError, match=r"image 2 of the batch, from the \w+ pass of `1` \(\w+\) on") as caught:
        JacobianNorm(**setting, batch_norm=batch_norm)(model, x, Y, draw())
    assert caught.value.image == 2


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(setting.values()))
def test_detached_logits_are_not_robust(setting):
    class Detached(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :3].detach()

    if setting["estimator"] == "projection" and setting["derivative"] == "central_difference":
        return  # looks at logits alone
    with pytest.raises(UnsupportedError, match="differentiably"):
        JacobianNorm(**setting)(Detached(), tiny_images(), Y, draw())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(setting.values()))
def test_pcdarts_supernet_gets_the_gradient_of_alphas_and_betas(setting, pcdarts_supernet):
    model = pcdarts_supernet
    metric, x, step = JacobianNorm(**setting), tiny_images(), 1e-7
    alphas = list(model.architecture.parameters())
    gradients = torch.autograd.grad(metric(model, x, Y, draw()).mean(), alphas)
    assert all(bool((gradient != 0).any()) for gradient in gradients)
    if setting["derivative"] == "central_difference":
        return
    along = [torch.randn(alpha.shape, generator=draw(1), dtype=torch.float64) for alpha in alphas]
    means = []
    for sign in (1, -2):
        with torch.no_grad():
            for alpha, direction in zip(alphas, along, strict=True):
                alpha += sign * step * direction
            means.append(metric(model, x, Y, draw()).mean().item())
    slope = sum((gradient * direction).sum().item() for gradient, direction in zip(gradients, along, strict=True))
    assert slope == pytest.approx((means[0] - means[1]) / (2 * step), rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "l3"}, "linf, l2, l1, got 'l3'"),
        ({"estimator": "some"}, "exact, classes, projection, got 'some'"),
        ({"derivative": "triple"}, "autograd, central_difference, got 'triple'"),
        ({"norm": "linf", "estimator": "projection"}, "use `estimator: classes`"),
        ({"projections": 0}, "`projections` >= 1, got 0"),
        ({"difference_step": 2.0}, r"in \(0, 1\] pixel units, got 2"),
        ({"difference_step": 0.0}, r"in \(0, 1\] pixel units, got 0"),
        ({"batch_norm": "frozen"}, "'running' or 'batch', got 'frozen'"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        JacobianNorm(**arguments)


@pytest.mark.parametrize("estimator", ["classes", "projection"])
def test_estimators_need_a_generator(estimator):
    with pytest.raises(ConfigError, match="Expected a `generator`"):
        JacobianNorm("l2", estimator)(TinyMixedNetwork(), tiny_images(), Y)
