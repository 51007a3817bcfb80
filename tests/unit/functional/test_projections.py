"""Projections against numpy in float64; uniform points against the distributions they claim."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from dsrna.functional.norms import steepest_step
from dsrna.functional.projections import into_ball, project, uniform_start

ROUNDING = 1e-6


def images(seed, low=0.0, high=1.0):
    draw = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(5, 2, 3, 3, generator=draw)


@given(seed=st.integers(0, 1000), eps=st.floats(0, 2))
def test_linf_projection_is_the_nearest_point(seed, eps):
    center, far = images(seed), images(seed + 1, -2, 3)
    lowest = np.maximum(center.double().numpy() - eps, 0)
    highest = np.minimum(center.double().numpy() + eps, 1)
    nearest = np.minimum(np.maximum(far.double().numpy(), lowest), highest)
    np.testing.assert_allclose(project(far, center, "linf", eps).numpy(), nearest, atol=ROUNDING)


@given(seed=st.integers(0, 1000), eps=st.floats(0, 3))
def test_l2_projection_scales_each_image_onto_the_sphere(seed, eps):
    center, far = images(seed), images(seed + 1, -2, 3)
    expected = []
    for one, away in zip(center.double().numpy(), far.double().numpy(), strict=True):
        perturbation = away - one
        length = np.sqrt((perturbation**2).sum())
        expected.append(np.clip(one + perturbation * min(1, eps / length), 0, 1))
    found = project(far, center, "l2", eps)
    np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=ROUNDING)
    assert ((found - center).flatten(1).norm(dim=1) <= eps + ROUNDING).all()


@given(seed=st.integers(0, 1000), eps=st.floats(0.01, 20))
def test_l1_projection_is_the_nearest_point_of_the_ball(seed, eps):
    """Soft thresholding, its threshold found by bisection."""
    perturbation = images(seed, -2, 3)
    expected = []
    for one in perturbation.double().numpy():
        low, high = 0.0, 3.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if np.maximum(np.abs(one) - middle, 0).sum() > eps else (low, middle)
        expected.append(np.sign(one) * np.maximum(np.abs(one) - (high if np.abs(one).sum() > eps else 0), 0))
    np.testing.assert_allclose(into_ball(perturbation, "l1", eps).numpy(), np.stack(expected), atol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_points_inside_stay(norm):
    center = images(0, 0.4, 0.6)
    near = center + 0.01 * images(1, -1, 1)
    torch.testing.assert_close(project(near, center, norm, 0.2), near)


def test_l2_step_has_unit_length_and_zero_gradients_give_none():
    gradient = images(0, -1, 1).double() * torch.tensor([1e-6, 1, 1e6, 0, 5]).double().reshape(5, 1, 1, 1)
    lengths = steepest_step(gradient, "l2").flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([1, 1, 1, 0, 1]).double())
    assert not steepest_step(gradient, "linf")[3].any()


@pytest.mark.parametrize("scale", [1e-36, 1e-20, 1e-12, 1e12, 1e30])
def test_l2_steps_know_no_smallest_or_largest_gradient(scale):
    gradient = images(0, -1, 1)
    torch.testing.assert_close(steepest_step(scale * gradient, "l2"), steepest_step(gradient.double(), "l2").float())


@pytest.mark.parametrize("eps", [1e-30, 1e-15, 1e-3])
def test_l2_balls_may_be_of_any_size(eps):
    """Around a black image, whose neighbours have numbers of their own down to 1e-38."""
    center = torch.zeros(3, 1, 1, 2)
    away = torch.tensor([[0.3, 0.4], [3.0, 4.0], [0.0, 0.0]]).view(3, 1, 1, 2) * eps
    expected = torch.tensor([[0.3, 0.4], [0.6, 0.8], [0.0, 0.0]]).view(3, 1, 1, 2) * eps
    torch.testing.assert_close(project(away, center, "l2", eps), expected, rtol=1e-6, atol=0)
    assert not project(away, center, "l2", 0.0).any()


def test_linf_start_is_uniform():
    center = torch.full((2000, 1, 1, 2), 0.5)
    moved = uniform_start(center, "linf", 0.3, torch.Generator().manual_seed(0)) - center
    assert kstest(moved.flatten().numpy(), "uniform", args=(-0.3, 0.6)).pvalue > 0.01


@pytest.mark.parametrize("values", [2, 5])
def test_l2_start_is_uniform_in_the_ball(values):
    center = torch.full((2000, 1, 1, values), 0.5)
    moved = (uniform_start(center, "l2", 0.3, torch.Generator().manual_seed(0)) - center).flatten(1)
    share_of_volume = (moved.norm(dim=1) / 0.3) ** values
    assert kstest(share_of_volume.numpy(), "uniform").pvalue > 0.01
    angle = torch.atan2(moved[:, 0], moved[:, 1])
    assert kstest(angle.numpy(), "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 0.01


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_start_stays_in_the_box(norm):
    start = uniform_start(torch.ones(50, 1, 2, 2), norm, 0.5, torch.Generator().manual_seed(0))
    assert (start <= 1).all()
    assert (start < 1).any()
