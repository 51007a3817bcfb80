"""SVHN, which is one YAML, and what else torchvision has: from files as they are published, and refused where not."""

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

from dsrna.config.compose import compose
from dsrna.config.validate import validated
from dsrna.data.torchvision_class import load_torchvision
from dsrna.errors import DataError
from dsrna.runs.sources import load_splits


@pytest.fixture
def svhn(tmp_path, monkeypatch):
    """A data root with made-up images in SVHN's files: (H, W, C, M), the digit 0 as 10."""
    monkeypatch.setattr(datasets.SVHN, "_check_integrity", lambda self: True)
    draw = np.random.default_rng(0)
    (tmp_path / "SVHN").mkdir()
    written = {}
    for part, count in (("train", 60), ("test", 20)):
        pixels = draw.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        digits = np.arange(count) % 10
        savemat(tmp_path / "SVHN" / f"{part}_32x32.mat", {"X": pixels, "y": np.where(digits == 0, 10, digits)[:, None]})
        written[part] = pixels, digits
    return tmp_path, written


@pytest.mark.slow
def test_svhn_is_read_as_it_is_published(svhn):
    root, written = svhn
    settings = validated(
        compose("search", ["data=svhn", f"data.root={root}", "data.download=false", "data.validation_fraction=0.4"])
    )
    splits = load_splits(settings)
    assert (splits.name, splits.test.shape, splits.test.classes) == ("svhn", (3, 32, 32), 10)
    pixels, digits = written["test"]
    images, labels = splits.test.batch(torch.tensor([0, 7, 19]))
    torch.testing.assert_close(images, torch.from_numpy(pixels[..., [0, 7, 19]]).permute(3, 2, 0, 1) / 255)
    assert labels.tolist() == digits[[0, 7, 19]].tolist()


def test_others_choose_the_part_by_a_flag(tmp_path, monkeypatch):
    class Grey:
        def __init__(self, root, train=True, download=False):
            self.data = torch.full((6, 5, 4), 10 if train else 20, dtype=torch.uint8)
            self.targets = [0, 1, 2, 0, 1, 2]

    monkeypatch.setattr(datasets, "Grey", Grey, raising=False)
    source = load_torchvision("Grey", str(tmp_path))
    found = [part.batch(torch.tensor([0]))[0].unique().item() for part in (source.train, source.test)]
    assert found == pytest.approx([10 / 255, 20 / 255])
    assert source.train.shape == (1, 5, 4)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("SVNH", r"class of torchvision.datasets, got 'SVNH'. \(conf: dataset\)"),
        ("SVHN", "not found or corrupted"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path, dataset, message):
    with pytest.raises(DataError, match=message):
        load_torchvision(dataset, str(tmp_path), download=False)
