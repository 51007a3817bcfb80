"""Noise by its statistics; blur against scipy and plain loops."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from dsrna.corruptions import SEVERITIES, corrupt
from dsrna.corruptions import blur as blurs
from dsrna.corruptions import noise as noises
from dsrna.corruptions.catalog import FIXED, RANDOM
from dsrna.errors import ConfigError, DataError


def generator():
    return torch.Generator().manual_seed(0)


def images(n=2, channels=3):
    """Smooth random images, as bytes."""
    x = torch.rand(n, channels, 32, 32, generator=generator(), dtype=torch.float64)
    x = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    return ((x - x.amin()) / (x.amax() - x.amin()) * 255).round() / 255


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_the_moments_of_its_law(severity):
    level = torch.full((64, 3, 32, 32), 0.4, dtype=torch.float64)
    sigma = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    photons = (500, 250, 100, 75, 50)[severity - 1]
    relative = (0.06, 0.1, 0.12, 0.16, 0.2)[severity - 1]
    expected = {
        noises.gaussian_noise: sigma,
        noises.shot_noise: math.sqrt(0.4 / photons),
        noises.speckle_noise: 0.4 * relative,
    }
    for noise, deviation in expected.items():
        noisy = noise(level, severity, generator())
        assert noisy.mean().item() == pytest.approx(0.4, abs=5 * deviation / math.sqrt(level.numel()))
        assert noisy.std().item() == pytest.approx(deviation, rel=0.02)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise_sets_its_share_half_black_half_white(severity):
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    noisy = noises.impulse_noise(torch.full((64, 3, 32, 32), 0.4), severity, generator())
    tolerance = 5 * math.sqrt(share / noisy.numel())
    for value in (0, 1):
        assert (noisy == value).double().mean().item() == pytest.approx(share / 2, abs=tolerance)
    assert noisy.unique().tolist() == pytest.approx([0.0, 0.4, 1.0])


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_blur_is_scipys(severity):
    x = images()
    sigma = (0.4, 0.6, 0.7, 0.8, 1)[severity - 1]
    expected = ndimage.gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="nearest")
    np.testing.assert_allclose(blurs.gaussian_blur(x, severity), expected, atol=1e-12)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_defocus_blur_is_a_smoothed_disk(severity):
    radius, alias = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))[severity - 1]
    grid = np.arange(-8, 9)
    disk = (grid[:, None] ** 2 + grid**2 <= radius**2).astype(float)
    edge = np.exp(-(np.arange(-1, 2) ** 2) / (2 * alias**2))
    kernel = ndimage.convolve(disk / disk.sum(), np.outer(edge, edge) / edge.sum() ** 2, mode="constant")
    x = images()
    expected = [[ndimage.correlate(plane, kernel, mode="mirror") for plane in image] for image in x.numpy()]
    np.testing.assert_allclose(blurs.defocus_blur(x, severity), expected, atol=1e-12)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_zoom_blur_is_the_mean_of_scipys_zooms(severity):
    stop = (1.06, 1.11, 1.16, 1.21, 1.26)[severity - 1]
    factors = np.arange(1, stop, 0.01)
    x = images()
    total = x.numpy().copy()
    for factor in factors:
        cut = math.ceil(32 / factor)
        top = (32 - cut) // 2
        middle = x.numpy()[:, :, top : top + cut, top : top + cut]
        large = ndimage.zoom(middle, (1, 1, factor, factor), order=1, mode="nearest")
        trim = (large.shape[-1] - 32) // 2
        total += large[:, :, trim : trim + 32, trim : trim + 32]
    np.testing.assert_allclose(blurs.zoom_blur(x, severity), total / (len(factors) + 1), atol=1e-9)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_motion_blur_walks_along_its_angle(severity):
    x = images()
    radius, sigma = ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))[severity - 1]
    angles = [20.0, -37.0]
    expected = np.zeros(x.shape)
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(2 * radius + 1)]
    for n, angle in enumerate(angles):
        for i, weight in enumerate(weights):
            down = math.ceil(i * math.sin(math.radians(angle)) - 0.5)
            right = math.ceil(i * math.cos(math.radians(angle)) - 0.5)
            for h in range(32):
                for w in range(32):
                    source = x[n, :, min(max(h + down, 0), 31), min(max(w + right, 0), 31)]
                    expected[n, :, h, w] += weight / sum(weights) * source.numpy()
    blurred = blurs.motion_blurred(x, *blurs.MOTION[severity - 1], torch.tensor(angles))
    np.testing.assert_allclose(blurred, expected, atol=1e-12)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_glass_blur_is_a_walk_over_the_pixels(severity):
    """In CIFAR-10-C's order, from the last pixel to the first; the same draws."""
    sigma, passes = ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))[severity - 1]
    x = images(1)
    draws = generator()
    image = np.floor(ndimage.gaussian_filter(x[0].numpy(), (0, sigma, sigma), mode="nearest") * 255 + 1e-3)
    for _ in range(passes):
        up, left = (torch.rand(2, 1, 32, 32, generator=draws, dtype=x.dtype) < 0.5).long().numpy()[:, 0]
        for h in range(31, 1, -1):
            for w in range(31, 1, -1):
                image[:, h, w] = image[:, h - up[h, w], w - left[h, w]]
    expected = ndimage.gaussian_filter(image / 255, (0, sigma, sigma), mode="nearest")
    np.testing.assert_allclose(blurs.glass_blur(x, severity, generator())[0], expected, atol=1e-12)


@pytest.mark.parametrize("name", sorted(FIXED | RANDOM))
def test_results_are_bytes_that_the_seed_decides(name):
    x = images().float()
    first = corrupt(x, name, 3, generator())
    assert torch.equal(first, corrupt(x, name, 3, generator()))
    assert torch.equal((first * 255).round() / 255, first)
    assert not torch.equal(first, x)
    if name != "saturate":  # grey images have no saturation
        assert corrupt(images(2, 1).float(), name, 3, generator()).shape == (2, 1, 32, 32)


@pytest.mark.parametrize(
    ("name", "severity", "message"),
    [("gausian_noise", 1, "gaussian_noise"), ("zoom_blur", 0, "1, 2, 3, 4, 5"), ("zoom_blur", 6, "got 6")],
)
def test_unknown_names_and_severities_are_refused(name, severity, message):
    with pytest.raises(ConfigError, match=message):
        corrupt(images(), name, severity, generator())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 3, 8, 8), "at least 16 x 16"),
        (torch.zeros(3, 32, 32), r"\(N, C, H, W\)"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "Divide bytes by 255"),
        (torch.full((2, 3, 32, 32), 1.5), "before normalising"),
        (torch.full((2, 3, 32, 32), torch.nan), "before normalising"),
    ],
)
def test_other_images_are_refused(x, message):
    with pytest.raises(DataError, match=message):
        corrupt(x, "zoom_blur", 1, generator())
