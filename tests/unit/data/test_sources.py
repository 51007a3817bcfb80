"""Loaders of arrays and of named data sets, on small files made here; the real files where $DSRNA_DATA has them."""

import contextlib
import gzip
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dsrna.data import arrays as arrays_module
from dsrna.data import torchvision_sets
from dsrna.data.arrays import NEEDED, load_arrays
from dsrna.data.source import default_root
from dsrna.data.splits import split
from dsrna.data.torchvision_sets import load_cifar10, load_cifar100, load_fashion_mnist, load_mnist
from dsrna.errors import DataError


def arrays(shape=(8, 8, 3), classes=10, **changes):
    rng = np.random.default_rng(0)
    made = {
        "x_train": rng.integers(0, 256, (40, *shape), dtype=np.uint8),
        "y_train": np.arange(40) % classes,
        "x_test": rng.integers(0, 256, (20, *shape), dtype=np.uint8),
        "y_test": np.arange(20) % classes,
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def save(file, **changes):
    np.savez(file, **arrays(**changes))
    return str(file)


def check_pixels(source, made):
    for part, suffix in ((source.train, "train"), (source.test, "test")):
        x, y = part.batch(torch.arange(len(part)))
        images = made[f"x_{suffix}"]
        images = images[..., None] if images.ndim == 3 else images
        np.testing.assert_allclose(x.numpy(), images.transpose(0, 3, 1, 2) / 255, atol=1e-7)
        assert y.tolist() == made[f"y_{suffix}"].tolist()


# a user's own arrays


@pytest.mark.parametrize("shape", [(6, 8, 3), (6, 8, 1), (6, 8)])
@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_arrays(tmp_path, shape, kind):
    made = arrays(shape, 4, y_train=(np.arange(40) % 4).astype(kind), y_test=(np.arange(20) % 4).astype(kind))
    np.savez(tmp_path / "mine.npz", **made)
    source = load_arrays(str(tmp_path / "mine.npz"), name="mine")
    check_pixels(source, made)
    assert (source.train.shape, source.train.classes) == ((3 if 3 in shape else 1, 6, 8), 4)
    assert "mine.npz" in source.origin


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None}, "missing: x_test; there are: x_train, y_train, y_test"),
        ({"x_train": np.zeros((40, 8, 8, 3), np.float32)}, "x_train to be uint8 .* got float32"),
        ({"x_test": np.zeros((20, 8, 8, 3), np.int64)}, "x_test to be uint8"),
        ({"x_train": np.zeros((40, 192), np.uint8)}, r"x_train of shape \(M, H, W, C\).* got \(40, 192\)"),
        ({"x_train": np.zeros((40, 3, 8, 8), np.uint8)}, r"looks like channels first: write x\.transpose"),
        ({"x_train": np.zeros((40, 10, 16, 16), np.uint8)}, "looks like channels first"),
        ({"x_val": np.zeros((8, 8, 8, 3), np.uint8)}, "x_val and y_val, or neither, got x_val alone"),
        ({"x_val": np.zeros((8, 9, 8, 3), np.uint8), "y_val": np.arange(8)}, r"\(8, 8, 3\) in x_val"),
        ({"x_val": np.zeros((8, 8, 8, 3), np.uint8), "y_val": np.arange(8) + 5}, r"0\.\.9 in y_val, got 10"),
        ({"x_test": np.zeros((0, 8, 8, 3), np.uint8)}, "x_test .*not empty"),
        ({"x_test": np.zeros((20, 9, 8, 3), np.uint8)}, r"\(8, 8, 3\) in x_test, got \(9, 8, 3\)"),
        ({"y_train": np.zeros(40)}, "at least 2 classes in y_train, got 1"),
        ({"y_train": np.arange(40) % 10 / 1.0}, "y_train to be integers .* got float64"),
        ({"y_train": np.arange(80).reshape(40, 2) % 10}, r"y_train to be integers of shape \(M,\).* \(40, 2\)"),
        ({"y_train": np.arange(40) % 10 - 1}, r"labels 0\.\.9 in y_train, got -1"),
        ({"y_train": np.arange(40) % 10 * 10**9}, r"0\.\.9 in y_train, got 1000000000 .*without gaps"),
        ({"y_test": np.arange(20)}, r"labels 0\.\.9 in y_test, got 10 \(10 labels"),
        ({"y_test": np.arange(19) % 10}, "y_test has 19 for 20 images"),
        ({"x_train": np.array([{}] * 40)}, "could not read x_train"),
    ],
)
def test_bad_arrays_are_named(tmp_path, changes, message):
    with pytest.raises(DataError, match=message) as error:
        load_arrays(save(tmp_path / "mine.npz", **changes))
    assert "mine.npz" in str(error.value)


@pytest.mark.parametrize("channels", [2, 4, 10])
def test_any_number_of_channels_and_labels_in_a_column(tmp_path, channels):
    """Radar, multispectral; and labels as Keras has them."""
    made = arrays((8, 12, channels), 4, y_train=(np.arange(40) % 4)[:, None], y_test=(np.arange(20) % 4)[:, None])
    np.savez(tmp_path / "mine.npz", **made)
    source = load_arrays(str(tmp_path / "mine.npz"))
    check_pixels(source, made | {"y_train": made["y_train"][:, 0], "y_test": made["y_test"][:, 0]})
    parts = split(source, 0.2, 0)
    assert parts.train.shape == (channels, 8, 12)
    x = source.train.batch(torch.arange(40))[0][parts.train._indices]
    np.testing.assert_allclose(parts.mean, x.mean((0, 2, 3)), atol=1e-5)


def test_validation_arrays_are_the_validation_split(tmp_path):
    made = arrays(classes=2, x_val=np.full((6, 8, 8, 3), 51, np.uint8), y_val=np.arange(6) % 2)
    np.savez(tmp_path / "mine.npz", **made)
    parts = split(load_arrays(str(tmp_path / "mine.npz")), 0.5, 0)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (40, 6, 20)
    torch.testing.assert_close(parts.validation.batch(torch.arange(6))[0], torch.full((6, 3, 8, 8), 0.2))


@pytest.mark.parametrize(
    "shape", ["(1000000000000,)", "(99999999999999999999999,)", "(-1, 8, 8, 3)", "(10**12,)", "((" * 500]
)
def test_a_header_that_claims_the_impossible(tmp_path, shape):
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as packed:
        for name in NEEDED:
            packed.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"abc")
    with pytest.raises(DataError, match=r"could not read x_train.*mine\.npz"):
        load_arrays(str(tmp_path / "mine.npz"))


def test_an_archive_that_would_not_fit_into_memory_is_not_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "mine.npz", **arrays() | {"x_train": np.zeros((400, 32, 32, 3), np.uint8)})
    assert (tmp_path / "mine.npz").stat().st_size < 20_000
    monkeypatch.setattr(arrays_module, "_memory", lambda: 2_000_000)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(DataError, match=r"half of the memory here, got 0\.0 GiB in x_train\.npy, .*mine\.npz"):
        load_arrays(str(tmp_path / "mine.npz"))


@pytest.mark.slow
def test_damaged_archives_are_refused_or_read(tmp_path):
    file = tmp_path / "mine.npz"
    whole, draw = Path(save(file)).read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), 2) if draw.random() < 0.5 else draw.integers(-700, 0, 2):
            damaged[place] = draw.integers(0, 256)
        file.write_bytes(damaged)
        with contextlib.suppress(DataError):
            load_arrays(str(file))


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, -1])
def test_truncated_archive(tmp_path, keep):
    file = tmp_path / "mine.npz"
    save(file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"whole \.npz file.*savez.*mine\.npz"):
        load_arrays(str(file))


def test_archive_with_changed_bytes_or_of_another_kind(tmp_path):
    file = tmp_path / "mine.npz"
    content = bytearray(Path(save(file)).read_bytes())
    content[3000] ^= 255  # inside x_train: only the checksum tells
    file.write_bytes(content)
    with pytest.raises(DataError, match="could not read x_train"):
        load_arrays(str(file))
    with file.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(DataError, match=r"whole \.npz"):
        load_arrays(str(file))
    with pytest.raises(DataError, match="nothing there"):
        load_arrays(str(tmp_path / "absent.npz"))


# named data sets


def write_idx(folder, made, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for array, name in (
        (made["x_train"], "train-images-idx3-ubyte"),
        (made["y_train"], "train-labels-idx1-ubyte"),
        (made["x_test"], "t10k-images-idx3-ubyte"),
        (made["y_test"], "t10k-labels-idx1-ubyte"),
    ):
        content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype("u1").tobytes()
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture
def downloads(monkeypatch):
    """Takes the place of torchvision's download; calls are recorded, and it fails unless a test gives it a body."""
    from torchvision import datasets

    class Downloads:
        calls = 0

        def body(self, root):
            raise OSError("no network here")

    record = Downloads()

    def download(dataset):
        record.calls += 1
        record.body(Path(dataset.root))

    for name in ("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST"):
        monkeypatch.setattr(getattr(datasets, name), "download", download)
    return record


@pytest.mark.parametrize(
    ("load", "name", "shape", "classes"),
    [
        (load_cifar10, "cifar10", (32, 32, 3), 10),
        (load_cifar100, "cifar100", (32, 32, 3), 100),
        (load_mnist, "mnist", (28, 28), 10),
        (load_fashion_mnist, "fashion_mnist", (28, 28), 10),
    ],
)
def test_named_archive(tmp_path, monkeypatch, downloads, load, name, shape, classes):
    made = arrays(shape)
    np.savez(tmp_path / f"{name}.npz", **made)
    monkeypatch.setenv("DSRNA_DATA", str(tmp_path))
    for source in (load(str(tmp_path)), load()):
        check_pixels(source, made)
        assert (source.name, source.train.classes) == (name, classes)
        assert f"{name}.npz" in source.origin  # nothing vouches for these pixels, and tables say so
    assert downloads.calls == 0


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("load", "folder"), [(load_mnist, "MNIST/raw"), (load_fashion_mnist, "FashionMNIST/raw")])
def test_idx_files_unpacked_or_not(tmp_path, downloads, load, folder, packed):
    made = arrays((28, 28))
    write_idx(tmp_path / folder, made, packed)
    source = load(str(tmp_path))
    check_pixels(source, made)
    assert "official files" in source.origin
    assert downloads.calls == 0


def test_torchvisions_cifar_files_count_only_with_their_checksums(tmp_path, monkeypatch, downloads):
    import hashlib

    from torchvision import datasets

    made = arrays((32, 32, 3))
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    parts = {"data_batch_1": "train", "test_batch": "test", "batches.meta": None}
    sums = {}
    for name, part in parts.items():
        entry = {"label_names": list("abcdefghij")}
        if part:
            images = made[f"x_{part}"].transpose(0, 3, 1, 2).reshape(-1, 3072)
            entry = {"data": images, "labels": made[f"y_{part}"].tolist()}
        (folder / name).write_bytes(pickle.dumps(entry))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    with pytest.raises(DataError, match="checksums differ"):
        load_cifar10(str(tmp_path))

    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(
        datasets.CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    )
    source = load_cifar10(str(tmp_path))
    check_pixels(source, made)
    assert "official files" in source.origin


def test_nothing_found_lists_everything_that_was_tried(tmp_path, downloads):
    np.savez(tmp_path / "cifar10.npz", x_train=np.zeros(3))
    with pytest.raises(DataError) as error:
        load_cifar10(str(tmp_path))
    message = str(error.value)
    for part in (
        str(tmp_path / "cifar-10-batches-py"),
        str(tmp_path / "cifar10.npz"),
        "missing: y_train, x_test, y_test",
        "OSError: no network here",
        "data.root=",
        "$DSRNA_DATA",
    ):
        assert part in message
    with pytest.raises(DataError, match=r"Switched off\. \(conf: data\.download\)"):
        load_cifar10(str(tmp_path), download=False)
    assert downloads.calls == 1


def test_root_that_is_a_file(tmp_path, downloads):
    (tmp_path / "root").write_text("")
    with pytest.raises(DataError, match="three places"):
        load_mnist(str(tmp_path / "root"))


def test_images_of_another_size_or_class_are_not_taken_for_cifar(tmp_path, downloads):
    save(tmp_path / "cifar10.npz", shape=(8, 8, 3))
    with pytest.raises(DataError, match=r"\(32, 32, 3\) in x_train, got \(8, 8, 3\)"):
        load_cifar10(str(tmp_path))
    save(tmp_path / "cifar10.npz", shape=(32, 32, 3), classes=20)
    with pytest.raises(DataError, match=r"0\.\.9 in y_train, got 10"):
        load_cifar10(str(tmp_path))


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda whole: whole + b"0", lambda whole: whole[:3]])
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_idx_file(tmp_path, downloads, damage, packed):
    write_idx(tmp_path / "MNIST/raw", arrays((28, 28)), packed)
    file = tmp_path / "MNIST/raw" / ("t10k-images-idx3-ubyte" + ".gz" * packed)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte"):
        load_mnist(str(tmp_path))


@pytest.mark.parametrize(
    ("failure", "raised"), [(OSError("gone"), DataError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_interrupted_download_leaves_nothing_that_counts_as_data(tmp_path, downloads, failure, raised):
    def stop(root):
        write_idx(root / "MNIST/raw", arrays((28, 28)))
        (root / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
        raise failure

    downloads.body = stop
    with pytest.raises(raised):
        load_mnist(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_finished_download_replaces_damaged_files_and_is_found_again(tmp_path, downloads):
    made = arrays((28, 28))
    write_idx(tmp_path / "MNIST/raw", made)
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte").write_bytes(b"damaged")
    downloads.body = lambda root: write_idx(root / "MNIST/raw", made)
    check_pixels(load_mnist(str(tmp_path)), made)
    check_pixels(load_mnist(str(tmp_path), download=False), made)
    assert downloads.calls == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["MNIST"]


def test_socket_timeout_is_put_back(tmp_path, downloads):
    import socket

    seen = []
    downloads.body = lambda root: seen.append(socket.getdefaulttimeout())
    with pytest.raises(DataError):
        load_mnist(str(tmp_path))
    assert seen == [torchvision_sets._SECONDS_WITHOUT_ANSWER]
    assert socket.getdefaulttimeout() is None


def test_default_root(monkeypatch):
    monkeypatch.setenv("DSRNA_DATA", "/somewhere")
    assert default_root() == Path("/somewhere")
    for unset in ("", None):
        monkeypatch.setenv("DSRNA_DATA", unset) if unset is not None else monkeypatch.delenv("DSRNA_DATA")
        assert default_root() == Path("data")


def test_an_idx_file_that_unpacks_to_too_much_is_not_unpacked(tmp_path, downloads, monkeypatch):
    made = arrays((28, 28))
    write_idx(tmp_path / "MNIST/raw", made, packed=True)
    monkeypatch.setattr(torchvision_sets, "_LARGEST_IDX", 20_000)
    with pytest.raises(DataError, match="train-images-idx3-ubyte to be a whole IDX file"):
        load_mnist(str(tmp_path))


# the real files

needs_data = pytest.mark.skipif(
    not os.environ.get("DSRNA_DATA"), reason="set $DSRNA_DATA to a folder with CIFAR-10 and MNIST to run this test"
)


@needs_data
@pytest.mark.real_data
@pytest.mark.slow
def test_real_cifar10():
    source = load_cifar10(download=False)
    assert (len(source.train), len(source.test)) == (50_000, 10_000)
    assert source.train.labels.bincount().tolist() == [5000] * 10
    assert source.train.labels[:5].tolist() == [6, 9, 9, 4, 1]
    assert source.test.labels[:5].tolist() == [3, 8, 8, 0, 6]
    parts = split(source, 0.1, 0)
    np.testing.assert_allclose(parts.mean, (0.4914, 0.4822, 0.4465), atol=2e-3)  # the field's constants
    np.testing.assert_allclose(parts.std, (0.2470, 0.2435, 0.2616), atol=3e-3)


@needs_data
@pytest.mark.real_data
def test_real_mnist():
    source = load_mnist(download=False)
    assert (len(source.train), len(source.test)) == (60_000, 10_000)
    assert source.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert source.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    parts = split(source, 0.1, 0)
    np.testing.assert_allclose((parts.mean[0], parts.std[0]), (0.1307, 0.3081), atol=1e-3)
