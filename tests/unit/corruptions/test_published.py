"""The reader of published arrays, on small arrays of our own in their layout."""

import numpy as np
import pytest
import torch

from dsrna.corruptions import PublishedCorruptions
from dsrna.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    np.save(tmp_path / "fog.npy", generator.integers(0, 256, (35, 32, 32, 3), dtype=np.uint8))
    np.save(tmp_path / "labels.npy", np.tile([3, 1, 4, 1, 5, 9, 2], 5))
    return tmp_path


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_images_of_a_severity(folder, severity):
    files = PublishedCorruptions(folder)
    assert (len(files), files.classes) == (7, 10)
    x, y = files.batch("fog", severity, torch.tensor([6, 0]))
    stored = np.load(folder / "fog.npy")[7 * (severity - 1) :][[6, 0]]
    np.testing.assert_array_equal((x * 255).round().numpy(), stored.transpose(0, 3, 1, 2))
    assert y.tolist() == [2, 3]
    assert (x.dtype, x.amax() <= 1) == (torch.float32, True)


def test_files_are_mapped_not_read(folder):
    assert isinstance(PublishedCorruptions(folder)._open("fog"), np.memmap)


def test_what_is_wrong_is_named(folder):
    files = PublishedCorruptions(folder)
    with pytest.raises(DataError, match=r"frost\.npy, found nothing\. Unpack CIFAR-10-C"):
        files.check_there(("fog", "frost"))
    with pytest.raises(ConfigError, match="Did you mean 'fog'"):
        files.batch("fogg", 1, torch.tensor([0]))
    with pytest.raises(ConfigError, match="severity"):
        files.batch("fog", 6, torch.tensor([0]))
    np.save(folder / "snow.npy", np.zeros((30, 32, 32, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"\(35, H, W, 3\).*\(30, 32, 32, 3\)"):
        files.batch("snow", 1, torch.tensor([0]))
    (folder / "contrast.npy").write_bytes((folder / "fog.npy").read_bytes()[:5000])
    with pytest.raises(DataError, match="truncated"):
        files.batch("contrast", 1, torch.tensor([0]))
    np.save(folder / "jpeg_compression.npy", np.array([{"any": "object"}]), allow_pickle=True)
    with pytest.raises(DataError, match="without pickled objects"):
        files.batch("jpeg_compression", 1, torch.tensor([0]))


def test_labels_that_differ_between_severities_are_refused(folder):
    np.save(folder / "labels.npy", np.arange(35) % 10)
    with pytest.raises(DataError, match="same labels for every severity"):
        PublishedCorruptions(folder)
    np.save(folder / "labels.npy", np.zeros(34, dtype=np.int64))
    with pytest.raises(DataError, match="5 severities"):
        PublishedCorruptions(folder)
    (folder / "labels.npy").unlink()
    with pytest.raises(DataError, match=r"labels\.npy, found nothing"):
        PublishedCorruptions(folder)
