"""Norms of images and their dual directions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsrna.errors import ConfigError
from dsrna.functional.norms import dual_direction, dual_exponent, image_norm

EXPONENT = {"linf": math.inf, "l2": 2.0, "l1": 1.0}


@given(seed=st.integers(0, 10_000), norm=st.sampled_from(["linf", "l2", "l1"]))
def test_the_dual_direction_reaches_the_dual_norm_from_the_unit_sphere(seed, norm):
    gradient = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    direction = dual_direction(gradient, norm)
    for image, u in zip(gradient, direction, strict=True):
        length = torch.tensor([abs(v) for v in u.flatten().tolist()]).double()
        size = {"linf": length.max(), "l2": length.square().sum().sqrt(), "l1": length.sum()}[norm]
        assert size == pytest.approx(1.0)
        g = [abs(v) for v in image.flatten().tolist()]
        dual = {"linf": sum(g), "l2": math.sqrt(sum(v * v for v in g)), "l1": max(g)}[norm]
        assert (image * u).sum().item() == pytest.approx(dual)
        assert image_norm(image[None], dual_exponent(norm)).item() == pytest.approx(dual)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_zeros_have_zero_direction_and_no_nan_in_the_gradient(norm):
    zeros = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(dual_direction(zeros.detach(), norm), zeros)
    norms = image_norm(zeros, dual_exponent(norm))
    (gradient,) = torch.autograd.grad(norms.sum(), zeros, create_graph=True)
    assert torch.equal(norms, torch.zeros(2, dtype=torch.float64))
    assert torch.equal(gradient, torch.zeros(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("scale", [1e-36, 1e-25, 1e25, 1e36])
@pytest.mark.parametrize("exponent", [1, 2, math.inf])
def test_norms_of_images_of_any_size(exponent, scale):
    images = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    images[3] = 0
    images.requires_grad_()
    scaled = image_norm(scale * images, exponent)
    expected = torch.linalg.vector_norm(scale * images.detach().double().flatten(1), ord=exponent, dim=1)
    torch.testing.assert_close(scaled.double(), expected, rtol=1e-5, atol=0)
    (gradient,) = torch.autograd.grad(scaled.sum() / scale, images)
    (plain,) = torch.autograd.grad(image_norm(images, exponent).sum(), images)
    torch.testing.assert_close(gradient, plain)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_has_no_finite_norm(value):
    images = torch.tensor([[1.0, value], [3.0, 4.0]])
    for exponent in (1, 2, math.inf):
        assert image_norm(images, exponent).isfinite().tolist() == [False, True]


def test_second_derivatives_of_the_l2_norm():
    images = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: image_norm(x, 2), images)


@pytest.mark.parametrize("norm", EXPONENT)
def test_exponents_are_dual(norm):
    assert 1 / EXPONENT[norm] + 1 / dual_exponent(norm) == 1


def test_an_unknown_norm_is_refused():
    with pytest.raises(ConfigError, match="linf, l2, l1, got 'l3'"):
        dual_exponent("l3")
