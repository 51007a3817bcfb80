"""Smaller images are means over blocks of pixels, of every part of a data set, and a data set of their own."""

import numpy as np
import pytest
import torch

from dsrna.config.settings import AugmentationSettings, DataSettings
from dsrna.data.averaged import AveragedImages, averaged
from dsrna.data.images import ArrayImages
from dsrna.data.source import Source
from dsrna.data.splits import split
from dsrna.errors import ConfigError
from dsrna.runs.sources import splits_of


def images(height=12, width=12, count=20, seed=0):
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, height, width), generator=draw, dtype=torch.uint8)
    return pixels, ArrayImages(pixels, torch.arange(count) % 2, classes=2)


def source(height=12, width=12, **parts):
    return Source("s", "o", images(height, width)[1], images(height, width, seed=1)[1], **parts)


def textbook(pixels, block):
    """Pixel by pixel, in float64."""
    count, channels, height, width = pixels.shape
    found = np.zeros((count, channels, height // block, width // block))
    for row, column in np.ndindex(height, width):
        found[:, :, row // block, column // block] += pixels[:, :, row, column].numpy() / (255 * block**2)
    return found


@pytest.mark.parametrize(("height", "width", "block"), [(12, 12, 2), (12, 18, 3), (4, 8, 4), (6, 6, 1)])
def test_pixels_are_means_over_blocks(height, width, block):
    pixels, whole = images(height, width)
    found = AveragedImages(whole, block)
    chosen = torch.tensor([7, 0, 19])
    x, y = found.batch(chosen)
    assert (found.shape, x.dtype) == (tuple(x.shape[1:]), torch.float32)
    np.testing.assert_allclose(x.numpy(), textbook(pixels[chosen], block), atol=1e-7)
    assert torch.equal(y, whole.labels[chosen])
    assert torch.equal(found.subset(chosen).batch(torch.tensor([1]))[0], x[1:2])


def test_white_stays_in_the_unit_interval():
    white = ArrayImages(torch.full((1, 3, 36, 36), 255, dtype=torch.uint8), torch.zeros(1), classes=2)
    for block in (2, 3, 4, 6, 9, 12, 18, 36):
        assert AveragedImages(white, block).batch(torch.tensor([0]))[0].unique().tolist() == [1.0]


def test_every_part_is_averaged_and_published_statistics_are_measured_anew():
    small = averaged(source(validation=images(seed=2)[1], statistics=((0.5,) * 3, (0.3,) * 3)), 4)
    splits = split(small, 0.1, seed=0)
    for part, seed in ((splits.train, 0), (splits.test, 1), (splits.validation, 2)):
        pixels, _ = images(seed=seed)
        np.testing.assert_allclose(part.batch(torch.arange(20))[0].numpy(), textbook(pixels, 3), atol=1e-7)
    train = textbook(images()[0], 3)
    np.testing.assert_allclose(splits.mean, train.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(splits.std, train.std((0, 2, 3)), rtol=1e-6)
    assert splits.origin == "o, averaged to 4x4 pixels"


@pytest.mark.parametrize("pixels", [None, 12])
def test_images_of_that_size_stay_as_they_are(pixels):
    data = source()
    assert averaged(data, pixels) is data


def test_it_is_another_data_set():
    digests = {split(averaged(source(), pixels), 0.2, seed=0).digest for pixels in (None, 6, 4, 3)}
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("height", "width", "pixels", "fitting"),
    [(12, 12, 5, "12, 6, 4, 3, 2, 1"), (12, 12, 24, "12, 6"), (12, 18, 3, "12, 6, 4, 2 or"), (12, 12, 7, "12, 6")],
)
def test_what_is_no_whole_block_is_refused(height, width, pixels, fitting):
    with pytest.raises(ConfigError, match=rf"{height}x{width}.*, {fitting}.* got {pixels}.*conf: data.pixels"):
        averaged(source(height, width), pixels)


def npz(path):
    parts = (("train", 0), ("test", 1))
    np.savez(
        path,
        **{f"x_{part}": images(8, 8, seed=seed)[0].numpy().transpose(0, 2, 3, 1) for part, seed in parts},
        **{f"y_{part}": np.arange(20) % 2 for part, _ in parts},
    )
    return {"_target_": "dsrna.data.arrays.load_arrays", "path": str(path)}


def settings_of(node, pixels):
    return DataSettings(
        source=node, root=None, download=False, validation_fraction=0.2, train_limit=None, test_limit=None,
        augmentation=AugmentationSettings(crop_padding=0, horizontal_flip=False), pixels=pixels,
    )  # fmt: skip


def test_the_setting_reaches_the_splits(tmp_path):
    node = npz(tmp_path / "x.npz")
    small = splits_of(settings_of(node, 4), 0, None)
    assert {small.train.shape, small.validation.shape, small.test.shape} == {(3, 4, 4)}
    assert small.digest != splits_of(settings_of(node, None), 0, None).digest
    with pytest.raises(ConfigError, match=r"data\.pixels"):
        splits_of(settings_of(node, 3), 0, None)
