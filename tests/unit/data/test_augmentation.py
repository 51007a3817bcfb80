import numpy as np
import pytest
import torch

from dsrna.data.augmentation import Augmentation
from dsrna.errors import ConfigError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def candidates(image, padding, flips):
    """Every image that crop and flip can make of ``image`` (C, H, W), by plain slicing: (flipped, dy, dx) -> image."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    found = {}
    for flipped in flips:
        for dy in range(2 * padding + 1):
            for dx in range(2 * padding + 1):
                window = padded[:, dy : dy + height, dx : dx + width]
                found[flipped, dy, dx] = window[:, :, ::-1] if flipped else window
    return found


@pytest.mark.parametrize(("padding", "flip"), [(0, True), (2, False), (2, True)])
def test_crop_and_flip_give_each_possible_image_equally_often(padding, flip):
    rng = np.random.default_rng(1)
    x = rng.random((2000, 3, 5, 6), dtype=np.float32) + 0.1
    got = Augmentation(crop_padding=padding, horizontal_flip=flip)(torch.from_numpy(x), generator()).numpy()
    seen = {}
    for image, augmented in zip(x, got, strict=True):
        table = candidates(image, padding, (False, True) if flip else (False,))
        matches = [draw for draw, candidate in table.items() if np.array_equal(candidate, augmented)]
        assert len(matches) == 1  # pixels are distinct, so exactly one draw explains the result
        seen[matches[0]] = seen.get(matches[0], 0) + 1
    assert seen.keys() == table.keys()
    expected = 2000 / len(table)
    assert sum((count - expected) ** 2 / expected for count in seen.values()) < 2 * len(table) + 20  # chi-square


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_cutout_blackens_one_clipped_square_per_image(side):
    height, width = 5, 6
    got = Augmentation(cutout=side)(torch.ones(3000, 2, height, width), generator()).numpy()
    possible = {}
    for row in range(height):
        for column in range(width):
            image = np.ones((2, height, width), np.float32)
            top, left = row - side // 2, column - side // 2
            image[:, max(top, 0) : top + side, max(left, 0) : left + side] = 0
            possible[image.tobytes()] = possible.get(image.tobytes(), 0) + 1
    seen = {}
    for image in got:
        seen[image.tobytes()] = seen.get(image.tobytes(), 0) + 1
    assert seen.keys() == possible.keys()
    for image, ways in possible.items():
        assert abs(seen[image] / 3000 - ways / (height * width)) < 0.03


def test_equal_generators_give_equal_batches_and_the_input_stays():
    x = torch.rand(16, 3, 8, 8)
    before = x.clone()
    augmentation = Augmentation(crop_padding=2, horizontal_flip=True, cutout=3)
    first, again, other = (augmentation(x, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(x, before)


def test_everything_off_changes_nothing():
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(Augmentation()(x, generator()), x)


@pytest.mark.parametrize("name", ["crop_padding", "cutout"])
def test_negative_sizes_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        Augmentation(**{name: -1})


@pytest.mark.parametrize("name", ["crop_padding", "cutout"])
@pytest.mark.parametrize("shape", [(8, 8), (8, 20), (20, 8)])
def test_sizes_above_the_image_are_refused(name, shape):
    Augmentation(**{name: 8})(torch.rand(2, 1, *shape), generator())
    with pytest.raises(ConfigError, match=rf"`{name}` of at most the image's side, 8 pixels, got 9\. \(conf: .*{name}"):
        Augmentation(**{name: 9})(torch.rand(2, 1, *shape), generator())
