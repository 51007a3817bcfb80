"""Folders of images, one a class, on small ones made here."""

import numpy as np
import pytest
import torch
from PIL import Image

from dsrna.data.folders import load_folder, load_imagenet
from dsrna.data.splits import split
from dsrna.errors import ConfigError, DataError


def write_folder(root, test="test", classes=("ant", "bee"), count=3):
    for part in ("train", test):
        for label, name in enumerate(classes):
            (root / part / name / "deep").mkdir(parents=True)
            for number in range(count):
                pixels = np.full((12, 16, 3), 40 * label + number + 100 * (part == "train"), np.uint8)
                where = root / part / name / ("deep" if number == 0 else ".")
                Image.fromarray(pixels).save(where / f"{number}.png")


@pytest.mark.parametrize("test", ["test", "val"])
def test_folder(tmp_path, test):
    write_folder(tmp_path, test)
    (tmp_path / "train/ant/notes.txt").write_text("no image")
    (tmp_path / "train/ant/.hidden.png").write_text("no image")
    (tmp_path / "train/.cache").mkdir()
    source = load_folder(str(tmp_path), image_size=8, name="insects")
    assert (len(source.train), len(source.test), source.train.shape) == (6, 6, (3, 8, 8))
    for part, base in ((source.train, 100), (source.test, 0)):
        x, y = part.batch(torch.arange(6))
        assert y.tolist() == [0, 0, 0, 1, 1, 1]
        values = [round(float(v) * 255) - base for v in x.mean((1, 2, 3))]
        assert sorted(values[:3]) == [0, 1, 2]
        assert sorted(values[3:]) == [40, 41, 42]
    assert source.origin.startswith("insects")
    assert source.statistics is None


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_validation_folder_of_the_users_own_is_the_validation_split(tmp_path, name):
    write_folder(tmp_path, count=4)
    for label in ("ant", "bee"):
        (tmp_path / name / label).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (9, 9), (255, 255, 255)).save(tmp_path / name / label / f"{number}.png")
    source = load_folder(str(tmp_path), image_size=8)
    parts = split(source, 0.5, 0)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (8, 10, 8)
    assert parts.validation.batch(torch.arange(10))[0].min() == 1
    assert source.origin == f"folder, 8 + 8 + 10 image files (train, test, {name})"
    half = split(source, 0.5, 0, train_limit=4)
    assert (len(half.train), len(half.validation)) == (4, 5)


def test_two_folders_for_validation_are_refused(tmp_path):
    write_folder(tmp_path)
    for name in ("val", "valid"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="got val and valid"):
        load_folder(str(tmp_path), image_size=8)


def test_classes_are_called_by_their_folders_names(tmp_path):
    write_folder(tmp_path, count=4)
    source = load_folder(str(tmp_path), image_size=8)
    assert split(source, 0.5, 0).class_names == ("ant", "bee")
    next(iter((tmp_path / "train/bee").glob("*.png"))).unlink()
    with pytest.raises(DataError, match=r"in the validation split, got 1 of class bee \("):
        split(load_folder(str(tmp_path), image_size=8), 0.4, 0)


def test_imagenets_test_images_without_labels_are_left_alone(tmp_path):
    write_folder(tmp_path / "imagenet", "val", count=5)
    (tmp_path / "imagenet/test").mkdir()
    assert load_imagenet(str(tmp_path), image_size=7).origin == "imagenet, 10 + 10 image files"


def test_imagenet_layout_and_constants(tmp_path):
    write_folder(tmp_path / "imagenet", "val", count=5)
    source = load_imagenet(str(tmp_path), image_size=7)
    parts = split(source, 0.4, 0)
    assert parts.mean == (0.485, 0.456, 0.406)
    assert parts.std == (0.229, 0.224, 0.225)
    assert source.train.batch(torch.tensor([0]))[0].shape == (1, 3, 7, 7)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "test").rename(root / "else"), "missing: test and val"),
        (lambda root: (root / "train").rename(root / "else"), "missing: train"),
        (lambda root: (root / "test/bee").rename(root / "test/wasp"), "only: bee, wasp"),
        (lambda root: [f.unlink() for f in (root / "train/bee").rglob("*.png")], "found none in .*bee"),
        (lambda root: (root / "train/bee").rename(root / "train/.bee"), "at least 2 folders"),
    ],
)
def test_bad_folders(tmp_path, spoil, message):
    write_folder(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        load_folder(str(tmp_path), image_size=8)


def test_folder_without_a_root_is_looked_for_in_the_data_root(tmp_path, monkeypatch):
    write_folder(tmp_path)
    monkeypatch.setenv("DSRNA_DATA", str(tmp_path))
    assert len(load_folder(image_size=8).train) == 6


@pytest.mark.parametrize("size", [0, -1, 100_000, 2.5, "32", True, None])
@pytest.mark.parametrize("load", [load_folder, load_imagenet])
def test_bad_image_size(tmp_path, load, size):
    with pytest.raises(ConfigError, match=r"1 to 4096 pixels, .* \(conf: data\.source\.image_size\)"):
        load(str(tmp_path), image_size=size)
