"""What is read from an image file is what a viewer shows, or the file is refused by name."""

import struct

import numpy as np
import pytest
import torch
from PIL import Image

from dsrna.data.image_files import read_image
from dsrna.data.images import FolderImages
from dsrna.errors import DataError

RAMP = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
COLOURS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
SIDEWAYS = {1: lambda x: x, 2: np.fliplr, 3: lambda x: np.rot90(x, 2), 6: lambda x: np.rot90(x, -1), 8: np.rot90}
"""EXIF orientation -> what a viewer does to the stored rows and columns."""


def read(image, path, **options):
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)
    return read_image(str(path), 8, 8).permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("16-bit.png", RAMP, RAMP / 65535),
        ("16-bit.tif", RAMP, RAMP / 65535),
        ("16-bit.pgm", RAMP, RAMP / 65535),
        ("big-endian.tif", Image.fromarray(RAMP.astype(">u2")), RAMP / 65535),
        ("float.tif", (RAMP / 65535).astype(np.float32), RAMP / 65535),
        ("grey.png", (RAMP // 257).astype(np.uint8), RAMP // 257 / 255),
        ("black and white.png", RAMP > 30000, (RAMP > 30000) * 1.0),
        ("colour.png", COLOURS, COLOURS / 255),
        ("cmyk.tif", Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).convert("CMYK"), np.full((8, 8, 3), 200 / 255)),
        ("palette.png", Image.fromarray(COLOURS // 128 * 255).convert("P"), COLOURS // 128 * 1.0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pixels(tmp_path, name, image, expected):
    found = read(image, tmp_path / name)
    np.testing.assert_allclose(found, expected if expected.ndim == 3 else expected[..., None].repeat(3, 2), atol=1e-6)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(tmp_path, mode):
    pixels, options = np.zeros((8, 8, 4), np.uint8), {}
    pixels[:, :4, 3] = 255
    image = Image.fromarray(pixels).convert(mode if mode != "P" else "RGBA")
    if mode == "P":
        image, options = Image.fromarray((pixels[..., 3] == 0).astype(np.uint8)), {"transparency": 1}
        image.putpalette([0] * 6)
    found = read(image, tmp_path / "x.png", **options)
    assert (found[:, :4] == 0).all()
    assert (found[:, 4:] == 1).all()


def test_half_transparent_pixels_are_mixed_with_white(tmp_path):
    pixels = np.full((8, 8, 4), [255, 0, 51, 102], np.uint8)
    found = read(Image.fromarray(pixels, "RGBA"), tmp_path / "x.png")
    np.testing.assert_allclose(found, np.full((8, 8, 3), 0.4 * np.array([1, 0, 0.2]) + 0.6), atol=1 / 255)


@pytest.mark.parametrize("orientation", SIDEWAYS)
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_images_are_turned_as_exif_says(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if ending == "webp" else {}
    found = read(COLOURS, tmp_path / f"x.{ending}", exif=exif, **options)
    np.testing.assert_allclose(found, SIDEWAYS[orientation](COLOURS) / 255, atol=1e-6)


@pytest.mark.parametrize("image", [RAMP, np.dstack([COLOURS, COLOURS[..., 0]])], ids=["16-bit", "transparent"])
def test_deep_and_transparent_images_are_turned_too(tmp_path, image):
    exif = Image.Exif()
    exif[274] = 6
    straight, turned = read(image, tmp_path / "a.png"), read(image, tmp_path / "b.png", exif=exif)
    np.testing.assert_allclose(turned, np.rot90(straight, -1))


def test_damaged_exif_around_whole_pixels_does_no_harm(tmp_path):
    found = read(COLOURS, tmp_path / "x.png", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff damaged")
    np.testing.assert_allclose(found, COLOURS / 255, atol=1e-6)


def write_12_bit_tiff(path, values):
    """Grey, 8 pixels a row, two of them in three bytes."""
    pairs = values.reshape(-1, 2).astype(np.uint32)
    packed = b"".join(int(a << 12 | b).to_bytes(3, "big") for a, b in pairs)
    rows, columns = values.shape
    tags = [(256, columns), (257, rows), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, rows)]
    tags.append((279, len(packed)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory)


def test_a_tiff_is_scaled_by_the_bits_that_it_says(tmp_path):
    write_12_bit_tiff(tmp_path / "x.tif", RAMP // 16)
    np.testing.assert_allclose(read_image(str(tmp_path / "x.tif"), 8, 8)[0], RAMP // 16 / 4095, atol=1e-6)


@pytest.mark.parametrize("image", [RAMP, (RAMP / 65535).astype(np.float32)])
def test_a_tiff_whose_white_is_zero_is_turned_round(tmp_path, image):
    straight = read(image, tmp_path / "a.tif")
    np.testing.assert_allclose(read(image, tmp_path / "b.tif", tiffinfo={262: 0}), 1 - straight, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "image", "says"),
    [
        ("range.tif", RAMP.astype(np.float32), r"floating-point values in \[0, 1\], got them in \[0, 6\.554e\+04\]"),
        ("nan.tif", np.full((8, 8), np.nan, np.float32), r"got them in \[nan, nan\]"),
        ("deep.tif", RAMP.astype(np.int32), "at most 16 bits, got 32-bit ones"),
    ],
)
def test_values_of_unknown_range_are_refused_with_the_file(tmp_path, name, image, says):
    Image.fromarray(image).save(tmp_path / name)
    images = FolderImages([str(tmp_path / name)], torch.tensor([0]), 2, image_size=8)
    with pytest.raises(DataError, match=rf"{says}.*move it out of the folder\. \(.*{name}\)"):
        images.batch(torch.tensor([0]))


def test_a_tiff_of_several_pages_is_refused(tmp_path):
    page = Image.fromarray(COLOURS)
    page.save(tmp_path / "x.tif", save_all=True, append_images=[page])
    with pytest.raises(DataError, match="TIFF of several pages"):
        read_image(str(tmp_path / "x.tif"), 8, 8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp", "bmp", "ppm"])
def test_damaged_files_are_refused_or_read(tmp_path, ending):
    """Whatever a changed byte does to a decoder, it comes out as a DataError."""
    path = tmp_path / f"x.{ending}"
    Image.fromarray(COLOURS).save(path)
    whole, draw = path.read_bytes(), np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), 3):
            damaged[place] = draw.integers(0, 256)
        path.write_bytes(damaged)
        try:
            found = read_image(str(path), 8, 8)
        except DataError:
            continue
        assert found.shape == (3, 8, 8)
        assert 0 <= found.min() <= found.max() <= 1
