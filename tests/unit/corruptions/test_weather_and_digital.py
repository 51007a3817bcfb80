"""Weather and digital corruptions against scipy, Pillow, matplotlib and plain loops."""

import io
import math

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy import fft, ndimage

from dsrna.benchmarks.robustness_dataset import CORRUPTIONS as OF_THE_DATASET
from dsrna.corruptions import CORRUPTIONS, SEVERITIES, corrupt, digital, weather
from dsrna.corruptions.jpeg import jpeg_compression
from dsrna.corruptions.motion import motion_blurred
from dsrna.corruptions.plasma import plasma
from dsrna.errors import DataError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=2, channels=3, height=32, width=32):
    """Smooth random images, as bytes."""
    x = torch.rand(n, channels, height, width, generator=generator(), dtype=torch.float64)
    x = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    return ((x - x.amin()) / (x.amax() - x.amin()) * 255).round() / 255


def channels_last(x):
    return x.movedim(1, -1).numpy()


def as_bytes(x):
    return (channels_last(x) * 255).round().astype(np.uint8)


def test_the_corruptions_are_those_of_the_published_table():
    assert set(CORRUPTIONS) == set(OF_THE_DATASET)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_adds_to_the_value(severity):
    x = images()
    x[0, :, 0, 0] = 0
    hsv = rgb_to_hsv(channels_last(x))
    hsv[..., 2] = np.clip(hsv[..., 2] + (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1], 0, 1)
    np.testing.assert_allclose(channels_last(digital.brightness(x, severity)), hsv_to_rgb(hsv), atol=1e-12)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_saturate_scales_and_shifts_the_saturation(severity):
    x = images()
    x[0, :, 0, 0], x[0, :, 0, 1] = 0, 0.5
    factor, summand = ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))[severity - 1]
    hsv = rgb_to_hsv(channels_last(x))
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + summand, 0, 1)
    np.testing.assert_allclose(channels_last(digital.saturate(x, severity)), hsv_to_rgb(hsv), atol=1e-12)
    with pytest.raises(DataError, match="3 channels"):
        corrupt(images(1, 1), "saturate", severity, generator())


@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_shrinks_towards_the_mean_colour(severity):
    x = channels_last(images())
    left = (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]
    for image, found in zip(x, channels_last(digital.contrast(images(), severity)), strict=True):
        mean = image.reshape(-1, 3).mean(0)
        np.testing.assert_allclose(found, (image - mean) * left + mean, atol=1e-12)


@pytest.mark.parametrize("size", [(32, 32), (40, 29)])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_pixelate_is_pillows(severity, size):
    x = images(4, 3, *size)
    share = (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1]
    for image, found in zip(as_bytes(x), as_bytes(digital.pixelate(x, severity)), strict=True):
        small = Image.fromarray(image).resize((int(size[1] * share), int(size[0] * share)), Image.Resampling.BOX)
        expected = np.asarray(small.resize(size[::-1], Image.Resampling.BOX)).astype(int)
        assert np.abs(found - expected).max() <= 1  # it rounds in fixed point
        assert (found == expected).mean() > 0.98


QUALITIES = (80, 65, 58, 50, 40)


def by_pillow(image, quality):
    """The image after a JPEG file, and the table that its luma was divided by."""
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "JPEG", quality=quality)
    opened = Image.open(file)
    return np.asarray(opened).astype(int).reshape(image.shape), np.array(opened.quantization[0]).reshape(8, 8)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_of_a_grey_image_is_the_textbooks(severity):
    """The cosine transform by scipy, the tables from Pillow's files."""
    x = images(2, 1, 32, 24)
    for image, found in zip(as_bytes(x)[..., 0], as_bytes(jpeg_compression(x, severity))[..., 0], strict=True):
        _, table = by_pillow(image, QUALITIES[severity - 1])
        for row in range(0, 32, 8):
            for column in range(0, 24, 8):
                block = image[row : row + 8, column : column + 8].astype(float) - 128
                coefficients = fft.dctn(block, norm="ortho") / table
                kept = np.sign(coefficients) * np.floor(np.abs(coefficients) + 0.5 + 1e-6) * table
                expected = np.clip(np.floor(fft.idctn(kept, norm="ortho") + 128.5 + 1e-6), 0, 255)
                np.testing.assert_array_equal(found[row : row + 8, column : column + 8], expected)


@pytest.mark.parametrize("size", [(32, 32), (28, 37), (17, 16)])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_is_pillows(severity, size):
    """But for single coefficients, where Pillow's integer transform rounds to the other side."""
    x = images(8, 3, *size)
    quality = QUALITIES[severity - 1]
    loss, difference = [], []
    for image, found in zip(as_bytes(x), as_bytes(jpeg_compression(x, severity)), strict=True):
        expected, _ = by_pillow(image, quality)
        difference.append(np.abs(found - expected))
        loss.append(np.abs(image - expected))
    difference = np.concatenate(difference)
    assert difference.mean() < 0.2 * np.mean(loss)
    assert (difference <= 1).mean() > 0.8


def test_jpeg_of_smooth_images_is_pillows_to_a_level():
    """Where few coefficients are left, none is near the edge; colours and their interpolation remain to differ."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 28), torch.linspace(0, 1, 40), indexing="ij")
    x = torch.stack([rows, columns, 1 - rows * columns])[None].double()
    difference = np.abs(as_bytes(jpeg_compression(x, 3))[0] - by_pillow(as_bytes(x)[0], QUALITIES[2])[0])
    assert (difference <= 1).mean() > 0.99


@pytest.mark.parametrize("decay", [3.0, 1.75])
def test_plasma_is_midpoint_displacement(decay):
    """Point by point, with the same draws."""
    draws = generator(3)
    clouds, step, amplitude = np.zeros((16, 16)), 16, 100.0
    while step >= 2:
        half, count = step // 2, 16 // step
        middles, across, down = (
            (2 * torch.rand(1, count, count, generator=draws, dtype=torch.float64)[0].numpy() - 1) * amplitude**2
            for _ in range(3)
        )
        for i in range(count):
            for j in range(count):
                r, c, last_r, last_c = i * step, j * step, (i + 1) * step % 16, (j + 1) * step % 16
                corners = clouds[r, c] + clouds[last_r, c] + clouds[r, last_c] + clouds[last_r, last_c]
                clouds[r + half, c + half] = corners / 4 + middles[i, j]
        for i in range(count):
            for j in range(count):
                r, c = i * step, j * step
                around = clouds[r, c] + clouds[r, (c + step) % 16] + clouds[r - half, c + half]
                clouds[r, c + half] = (around + clouds[r + half, c + half]) / 4 + across[i, j]
                around = clouds[r, c] + clouds[(r + step) % 16, c] + clouds[r + half, c - half]
                clouds[r + half, c] = (around + clouds[r + half, c + half]) / 4 + down[i, j]
        step, amplitude = half, amplitude / decay
    expected = (clouds - clouds.min()) / (clouds - clouds.min()).max()
    found = plasma(1, 13, decay, generator(3), torch.zeros((), dtype=torch.float64))
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_fog_adds_clouds_and_keeps_the_brightest_value(severity):
    thickness, decay = ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))[severity - 1]
    x = images()
    clouds = plasma(2, 32, decay, generator(5), x).numpy()
    for image, cloud, found in zip(x.numpy(), clouds, weather.fog(x, severity, generator(5)).numpy(), strict=True):
        expected = (image + thickness * cloud[None]) * image.max() / (image.max() + thickness)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_frost_is_a_weighted_sum_with_ice_of_its_own_for_every_image(severity):
    kept, added = ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))[severity - 1]
    x = images()
    ice = (weather.frost(x, severity, generator(7)) - kept * x) / added
    torch.testing.assert_close(ice, weather.ice(x, generator(7)))
    assert ice.amin() >= 0.25 * 0.85 - 1e-9
    assert ice.amax() <= 1
    assert ice.std((1, 2, 3)).min() > 0.1
    assert not torch.equal(ice[0], ice[1])


@pytest.mark.parametrize("severity", SEVERITIES)
def test_snow_is_made_of_thresholded_noise(severity):
    mean, deviation, factor, threshold, radius, sigma, kept = (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    )[severity - 1]
    x, draws = images(), generator(9)
    layer = (mean + deviation * torch.randn(2, 1, 32, 32, generator=draws, dtype=x.dtype)).numpy()
    angles = -135 + 90 * torch.rand(2, generator=draws, dtype=x.dtype)
    cut = math.ceil(32 / factor)
    top = (32 - cut) // 2
    layer = ndimage.zoom(layer[:, :, top : top + cut, top : top + cut], (1, 1, factor, factor), order=1, mode="nearest")
    trim = (layer.shape[-1] - 32) // 2
    layer = layer[:, :, trim : trim + 32, trim : trim + 32]
    layer[layer < threshold] = 0
    layer = (np.clip(layer, 0, 1) * 255).astype(np.uint8) / 255
    layer = np.round(motion_blurred(torch.from_numpy(layer), radius, sigma, angles).numpy() * 255) / 255
    for image, flakes, found in zip(x.numpy(), layer, weather.snow(x, severity, generator(9)).numpy(), strict=True):
        grey = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
        bleached = np.maximum(image, grey * 1.5 + 0.5)
        expected = kept * image + (1 - kept) * bleached + flakes + np.rot90(flakes, 2, axes=(1, 2))
        np.testing.assert_allclose(found, expected, atol=1.01 / 255)  # a flake on the edge of two levels
        assert np.isclose(found, expected, atol=1e-9).mean() > 0.99


@pytest.mark.parametrize("severity", SEVERITIES)
def test_elastic_transform_is_scipys_two_interpolations(severity):
    amplitude, sigma, distance = (
        (0, 0, 0.08),
        (0.05, 0.2, 0.07),
        (0.08, 0.06, 0.06),
        (0.1, 0.04, 0.05),
        (0.1, 0.03, 0.03),
    )[severity - 1]
    amplitude, sigma, distance = 32 * amplitude, 32 * sigma, 32 * distance
    x, draws = images(), generator(11)
    offsets = distance * (2 * torch.rand(2, 3, 2, generator=draws, dtype=x.dtype) - 1).numpy()
    shifts = (2 * torch.rand(2, 2, 32, 32, generator=draws, dtype=x.dtype) - 1).numpy()
    found = digital.elastic_transform(x, severity, generator(11)).numpy()
    rows, columns = np.mgrid[:32, :32].astype(float)
    for n, image in enumerate(x.numpy()):
        corners = np.array([[26, 26], [26, 6], [6, 6]], dtype=float)
        moved = corners + offsets[n]
        matrix, *_ = np.linalg.lstsq(np.c_[corners, np.ones(3)], moved, rcond=None)  # (3, 2): where a point goes
        back = np.linalg.inv(np.c_[matrix, [0, 0, 1]])
        source = np.stack([columns, rows, np.ones_like(rows)], -1) @ back
        place = source[..., 1], source[..., 0]
        affine = [ndimage.map_coordinates(plane, place, order=1, mode="mirror") for plane in image]
        right, down = (
            ndimage.gaussian_filter(shift, sigma, mode="reflect", truncate=3) * amplitude for shift in shifts[:, n]
        )
        place = rows + down, columns + right
        expected = [ndimage.map_coordinates(plane, place, order=1, mode="reflect") for plane in affine]
        np.testing.assert_allclose(found[n], expected, atol=1e-9)
