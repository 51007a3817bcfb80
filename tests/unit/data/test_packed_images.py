"""CIFAR-10 packed for the GPU scripts: the same images at the same places, with their labels."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from dsrna.data.torchvision_sets import load_cifar10

SOURCE = Path(__file__).resolve().parents[3] / "experiments" / "gpu" / "images.py"
COUNTS = {"train": 230, "test": 30}


@pytest.fixture
def images(monkeypatch):
    if not SOURCE.is_file():
        pytest.skip("experiments/ isn't part of the installed package")
    spec = importlib.util.spec_from_file_location("images", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "IN_PICTURE", 150)  # two pictures of training images, each with rows that are not full
    return module


def arrays():
    """Every image is of one colour of its own, but for one pixel in a corner, which says which way up it is."""
    draw = np.random.default_rng(0)
    found = {}
    for part, count in COUNTS.items():
        colours = draw.integers(30, 226, (count, 1, 1, 3), dtype=np.uint8)
        found[f"x_{part}"] = np.broadcast_to(colours, (count, 32, 32, 3)).copy()
        found[f"x_{part}"][:, :8, 24:] = 255
        found[f"y_{part}"] = np.arange(count) % 10
    return found


def test_images_come_back_where_they_were(images, tmp_path, capsys):
    given = arrays()
    np.savez(tmp_path / "cifar10.npz", **given)
    packed, there = tmp_path / "packed", tmp_path / "there"
    packed.mkdir()
    there.mkdir()
    images.pack(tmp_path, packed, 95)
    assert len(list(packed.glob("*.webp"))) == 3
    images.unpack(packed, there)
    assert list(there.iterdir()) == [there / "cifar10.npz"]
    with np.load(there / "cifar10.npz") as found:
        differences = {part: found[f"x_{part}"].astype(float) - given[f"x_{part}"] for part in COUNTS}
        for part in COUNTS:
            np.testing.assert_array_equal(found[f"y_{part}"], given[f"y_{part}"])
            assert np.abs(differences[part]).mean(axis=(1, 2, 3)).max() < 8  # another image's colour is farther away
    squares = np.concatenate([difference.ravel() ** 2 for difference in differences.values()])
    assert f"ratio {10 * np.log10(255**2 / squares.mean()):.2f} dB" in capsys.readouterr().out
    assert load_cifar10(str(there), download=False).train.shape == (3, 32, 32)
