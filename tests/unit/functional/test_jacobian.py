"""Products with the Jacobian, against a Jacobian written out by hand."""

import pytest
import torch
from torch import nn

from dsrna.errors import UnsupportedError
from dsrna.functional.jacobian import central_difference, directional_derivative, jacobian_row

WEIGHT = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]], dtype=torch.float64)


def cubes(x):
    """f_k(x) = sum_j W_kj x_j^3, so J_kj = 3 W_kj x_j^2."""
    return x**3 @ WEIGHT.T


def points():
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def jacobian(x):
    return 3 * WEIGHT * x[:, None, :] ** 2


def test_rows_of_a_class_for_each_image():
    x = points().requires_grad_()
    classes = torch.tensor([0, 1, 1, 0])
    row = jacobian_row(cubes(x), x, classes, create_graph=True)
    torch.testing.assert_close(row, jacobian(x)[torch.arange(4), classes])
    (curvature,) = torch.autograd.grad(row.sum(), x)
    torch.testing.assert_close(curvature, 6 * WEIGHT[classes] * x.detach())


def test_rows_without_gradient_mode():
    x = points().requires_grad_()
    logits = cubes(x)
    with torch.no_grad():
        row = jacobian_row(logits, x, torch.zeros(4, dtype=torch.int64), create_graph=False)
    assert not row.requires_grad
    torch.testing.assert_close(row, jacobian(x.detach())[:, 0])


def test_directional_derivatives_of_all_outputs():
    x, z = points(), points().flip(0)
    expected = torch.einsum("nkj,nj->nk", jacobian(x), z)
    torch.testing.assert_close(directional_derivative(cubes, x, z), expected)
    with torch.no_grad():
        torch.testing.assert_close(directional_derivative(cubes, x, z), expected)


@pytest.mark.parametrize("output", [lambda x: cubes(x).detach(), lambda x: torch.ones(4, 2, requires_grad=True)])
def test_outputs_that_do_not_depend_on_the_images_have_no_known_derivative(output):
    x = points().requires_grad_()
    with pytest.raises(UnsupportedError, match="differentiably"):
        jacobian_row(output(x), x, torch.zeros(4, dtype=torch.int64), create_graph=False)
    with pytest.raises(UnsupportedError, match="differentiably"):
        directional_derivative(output, x.detach(), x.detach())


def test_central_differences_have_the_third_order_remainder_of_a_cubic():
    x, d = points(), 0.1 * points().flip(0)
    expected = torch.einsum("nkj,nj->nk", jacobian(x), d) + d**3 @ WEIGHT.T
    torch.testing.assert_close(central_difference(cubes, x, d), expected)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("tracks", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_directional_derivatives_through_batchnorm_are_differentiated_right(training, tracks, affine):
    """torch's own takes the batch's statistics for constants."""
    draw = torch.Generator().manual_seed(0)
    x, z, factors = torch.randn(3, 5, 2, 3, 3, generator=draw, dtype=torch.float64)

    def layer():
        norm = nn.BatchNorm2d(2, affine=affine, track_running_stats=tracks).double().train(training)
        if affine:
            nn.init.constant_(norm.weight, 1.7)
            nn.init.constant_(norm.bias, -0.4)
        return norm

    def total(scale, norm=None):
        norm = norm or layer()
        return (factors * directional_derivative(lambda images: norm((scale * images).tanh()), x, z)).sum()

    scale, norm, plain = torch.tensor(1.3, dtype=torch.float64, requires_grad=True), layer(), layer()
    value = total(scale, norm)
    plain((1.3 * x).tanh())
    assert all(torch.equal(*pair) for pair in zip(norm.buffers(), plain.buffers(), strict=True))
    step = 1e-6
    for found, of in ((value, lambda move: layer()((scale * (x + move * z)).tanh()) * factors),
                      (torch.autograd.grad(value, scale)[0], lambda move: total(scale + move))):  # fmt: skip
        with torch.no_grad():
            expected = (of(step) - of(-step)).sum() / (2 * step)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
