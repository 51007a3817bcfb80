import numpy as np
import pytest
import torch
from PIL import Image

from dsrna.data.images import ArrayImages, FolderImages
from dsrna.errors import DataError


def test_array_images_are_bytes_over_255():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8)
    images = ArrayImages(pixels, torch.tensor([3, 1, 0, 2]), classes=4)
    x, y = images.batch(torch.tensor([2, 0]))
    expected = np.arange(256, dtype=np.float64).reshape(4, 1, 8, 8)[[2, 0]] / 255
    np.testing.assert_allclose(x.numpy(), expected, atol=1e-7)
    assert x.dtype == torch.float32
    assert y.tolist() == [0, 3]
    assert y.dtype == torch.int64


def test_subset_of_subset_follows_the_indices():
    pixels = torch.arange(10, dtype=torch.uint8).reshape(10, 1, 1, 1)
    images = ArrayImages(pixels, torch.arange(10), classes=10)
    part = images.subset(torch.tensor([9, 7, 5, 3])).subset(torch.tensor([2, 0]))
    x, y = part.batch(torch.tensor([0, 1]))
    assert (x * 255).round().flatten().tolist() == [5, 9]
    assert y.tolist() == part.labels.tolist() == [5, 9]
    assert (len(part), part.classes, part.shape) == (2, 10, (1, 1, 1))


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(2, 1, 4, 4), torch.zeros(2)),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2)),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3)),
    ],
)
def test_array_images_refuse(images, labels):
    with pytest.raises(DataError, match="Expected uint8 images"):
        ArrayImages(images, labels, classes=2)


def test_folder_images_resize_the_shorter_side_and_crop_the_centre(tmp_path):
    # Left third red, middle third green, right third blue: the centre square of a 3:1 image is green.
    bands = np.zeros((20, 60, 3), np.uint8)
    for band in range(3):
        bands[:, 20 * band : 20 * (band + 1), band] = 255
    Image.fromarray(bands).save(tmp_path / "wide.png")
    Image.fromarray(bands.transpose(1, 0, 2)).save(tmp_path / "tall.png")
    Image.fromarray(np.full((20, 20), 51, np.uint8)).save(tmp_path / "gray.png")
    files = [str(tmp_path / name) for name in ("wide.png", "tall.png", "gray.png")]
    images = FolderImages(files, torch.tensor([0, 1, 0]), 2, image_size=10)
    x, y = images.batch(torch.tensor([1, 2, 0]))
    assert x.shape == (3, *images.shape) == (3, 3, 10, 10)
    inner = x[:, :, 2:-2, 2:-2]  # at the bands' borders, resizing mixes colours
    green = torch.tensor([0.0, 1.0, 0.0])
    for number, colour in ((0, green), (1, torch.full((3,), 0.2)), (2, green)):
        torch.testing.assert_close(inner[number], colour[:, None, None].expand(3, 6, 6))
    assert y.tolist() == [1, 0, 0]


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: b"no image", lambda whole: whole[:200]])
def test_unreadable_image_is_named(tmp_path, damage):
    broken = tmp_path / "broken.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(broken)
    broken.write_bytes(damage(broken.read_bytes()))
    images = FolderImages([str(broken)], torch.tensor([0]), 2, image_size=8)
    with pytest.raises(DataError, match=r"readable image.*broken\.png"):
        images.batch(torch.tensor([0]))


def test_image_with_an_absurd_size_in_its_header_is_named(tmp_path):
    file = tmp_path / "huge.ppm"
    file.write_bytes(b"P6 100000 100000 255\n" + bytes(100))
    with pytest.raises(DataError, match=r"huge\.ppm"):
        FolderImages([str(file)], torch.tensor([0]), 2, image_size=8).batch(torch.tensor([0]))
