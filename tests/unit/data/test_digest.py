"""A data set is known by its images and labels, wherever they lie."""

import numpy as np
import pytest
import torch
from PIL import Image

import dsrna.data.images as images
from dsrna.data.folders import load_folder
from dsrna.data.images import ArrayImages
from dsrna.data.source import Source
from dsrna.data.splits import split


def arrays(change=None):
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (40, 1, 4, 4), generator=draw, dtype=torch.uint8)
    labels = torch.arange(40) % 4
    if change == "a pixel":
        pixels[7, 0, 3, 2] ^= 1
    if change == "a label":
        labels[7] = 1
    if change == "the order":
        pixels = pixels.flip(0)
    if change == "the shape":
        pixels = pixels.reshape(40, 1, 2, 8)
    return pixels, labels


def splits(change=None, seed=0, part="train"):
    train, test = (arrays(change if part == name else None) for name in ("train", "test"))
    source = Source("s", "s", ArrayImages(*train, 4), ArrayImages(*test, 4))
    return split(source, 0.25, seed)


def test_the_same_images_have_the_same_digest():
    assert splits().digest == splits().digest
    assert len(splits().digest) == 32


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("change", ["a pixel", "a label", "the order", "the shape"])
def test_what_is_other_has_another(change, part):
    if change == "the shape" and part == "test":
        pytest.skip("refused before")
    assert splits(change, part=part).digest != splits().digest


def test_it_knows_which_images_are_in_which_part():
    assert splits(seed=1).digest != splits().digest


def write_folder(root, touched=None):
    draw = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("a", "b"):
            for number in range(4):
                path = root / part / name / f"{number}.bmp"  # without compression: all files have one size
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = draw.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                if touched == path.relative_to(root).as_posix():
                    pixels[2, 2, 1] ^= 1
                Image.fromarray(pixels).save(path)
    return split(load_folder(str(root), image_size=4), 0.5, seed=0)


def test_image_files_are_known_by_content_not_by_place(tmp_path):
    first = write_folder(tmp_path / "1").digest
    assert write_folder(tmp_path / "elsewhere").digest == first
    assert write_folder(tmp_path / "2", "train/b/3.bmp").digest != first
    assert write_folder(tmp_path / "3", "test/a/0.bmp").digest != first


def test_a_huge_folder_is_known_by_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_READ_WHOLE", 10)
    first = write_folder(tmp_path / "1").digest
    (tmp_path / "1" / "train" / "a" / "0.bmp").open("ab").write(b"more")
    again = split(load_folder(str(tmp_path / "1"), image_size=4), 0.5, seed=0)
    assert again.digest != first
