"""CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST: from files under the data root, or downloaded by torchvision.

Each is looked for in torchvision's layout, then in one ``.npz`` (arrays as in :func:`dsrna.data.arrays.load_arrays`),
then downloaded. A download goes to a scratch folder first, so that an interrupted one is never taken for data.
"""

from __future__ import annotations

import gzip
import logging
import math
import socket
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np

from dsrna.data.arrays import NEEDED, Arrays, read_npz, to_source
from dsrna.data.source import Source, root_folder
from dsrna.errors import DataError

_log = logging.getLogger(__name__)
_SECONDS_WITHOUT_ANSWER = 30.0
_LARGEST_IDX = 2**26
"""Bytes, more than 60,000 images have; a damaged file may unpack to any number of them."""


def load_cifar10(root: str | None = None, download: bool = True) -> Source:
    """CIFAR-10: 50,000 + 10,000 colour images of 32x32 pixels in 10 classes.

    From ``root/cifar-10-batches-py`` (used only when every checksum that torchvision knows is right),
    ``root/cifar10.npz``, or a download.

    Args:
        root: the data root; None: ``$DSRNA_DATA``, else ``./data``.
        download: whether to download what is not there.

    Raises:
        DataError: nothing of this worked; the message lists every attempt and what to do.

    Reference: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """
    return _load(_CIFAR10, root, download)


def load_cifar100(root: str | None = None, download: bool = True) -> Source:
    """CIFAR-100: as :func:`load_cifar10`, in 100 fine classes; ``root/cifar-100-python`` or ``root/cifar100.npz``."""
    return _load(_CIFAR100, root, download)


def load_mnist(root: str | None = None, download: bool = True) -> Source:
    """MNIST: 60,000 + 10,000 grayscale images of 28x28 pixels in 10 classes.

    As :func:`load_cifar10`, from the four IDX files in ``root/MNIST/raw``, unpacked or ``.gz``, or ``root/mnist.npz``.

    Reference: Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 1998.
    """
    return _load(_MNIST, root, download)


def load_fashion_mnist(root: str | None = None, download: bool = True) -> Source:
    """Fashion-MNIST: as :func:`load_mnist`, from ``root/FashionMNIST/raw`` or ``root/fashion_mnist.npz``.

    Reference: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747, 2017.
    """
    return _load(_FASHION_MNIST, root, download)


@dataclass(frozen=True)
class _Known:
    name: str
    title: str
    torchvision_class: str
    folder: str  # torchvision's layout, below the root
    read_folder: Callable[[_Known, Path], Arrays]
    classes: int
    image_shape: tuple[int, int, int]  # (H, W, C)


def _load(known: _Known, root: str | None, download: bool) -> Source:
    place = root_folder(root).absolute()
    folder, archive = place / known.folder, place / f"{known.name}.npz"

    def source(arrays: Arrays, origin: str, where: Path) -> Source:
        return to_source(arrays, known.name, f"{known.title}, {origin}", where, known.classes, known.image_shape)

    def official() -> Source:
        return source(known.read_folder(known, place), "official files", folder)

    def packed() -> Source:
        # Nothing tells whether these are the official pixels or, say, recompressed ones: tables must not claim it.
        return source(read_npz(archive), f"pixels as in {archive.name}", archive)

    def downloaded() -> Source:
        if not download:
            raise DataError("Switched off. (conf: data.download)")
        _download(known, place)
        return official()

    problems: list[str] = []
    for what, read in ((f"{folder}", official), (f"{archive}", packed), ("torchvision's download", downloaded)):
        try:
            found = read()
        except DataError as error:
            problems.append(f"{what}: {error}")
        else:
            _log.info("%s: read from %s%s", known.title, what, "".join(f"; not from {line}" for line in problems))
            return found
    raise DataError(
        f"Expected {known.title} in one of three places, got it from none:\n"
        + "".join(f"  - {line}\n" for line in problems)
        + f"Put torchvision's files, or {archive.name} with {', '.join(NEEDED)}, into a folder, and name the "
        "folder by data.root=FOLDER or $DSRNA_DATA. (conf: data.root)"
    )


def _download(known: _Known, place: Path) -> None:
    """Downloads to a scratch folder beside the target, then moves whole files into place."""
    from torchvision import datasets

    with refusing_failures():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=place) as scratch:
            getattr(datasets, known.torchvision_class)(scratch, download=True)
            (place / known.folder).mkdir(parents=True, exist_ok=True)
            for file in (Path(scratch) / known.folder).iterdir():
                file.replace(place / known.folder / file.name)


@contextmanager
def refusing_failures(what: str = "") -> Iterator[None]:
    """Makes a DataError of whatever torchvision's reading and downloading fail with, which never hangs for ever."""
    try:
        with _socket_timeout(_SECONDS_WITHOUT_ANSWER):
            yield
    except (OSError, RuntimeError, EOFError, ValueError, zlib.error, tarfile.TarError, HTTPException) as error:
        said = f"Failed with {type(error).__name__}: {' '.join(str(error).split())}"
        raise DataError(f"{what}: {said} (conf: data)" if what else said) from error


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Torchvision sets no time limit: where a firewall drops packets, its download would hang for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _read_cifar(known: _Known, place: Path) -> Arrays:
    from torchvision import datasets

    if not (place / known.folder).is_dir():
        raise DataError("Expected a folder, got nothing there.")
    arrays = []
    for train in (True, False):
        try:  # torchvision unpickles these files, but only once all their checksums are right
            part = getattr(datasets, known.torchvision_class)(place, train=train)
        except (RuntimeError, OSError) as error:
            raise DataError("Expected whole official files, got missing or altered ones (checksums differ).") from error
        arrays += [part.data, np.asarray(part.targets)]
    return Arrays(*arrays)


def _read_mnist(known: _Known, place: Path) -> Arrays:
    folder = place / known.folder
    return Arrays(
        x_train=_read_idx(folder / "train-images-idx3-ubyte", rank=3),
        y_train=_read_idx(folder / "train-labels-idx1-ubyte", rank=1),
        x_test=_read_idx(folder / "t10k-images-idx3-ubyte", rank=3),
        y_test=_read_idx(folder / "t10k-labels-idx1-ubyte", rank=1),
    )


def _read_idx(file: Path, rank: int) -> np.ndarray:
    """Reads IDX: bytes 0, 0, 8 (uint8), rank; then the sizes as big-endian uint32; then the values."""
    packed = file.with_name(f"{file.name}.gz")
    try:
        with file.open("rb") if file.exists() else gzip.open(packed) as opened:
            content = opened.read(_LARGEST_IDX + 1)
    except FileNotFoundError as error:
        raise DataError(f"Expected {file.name} or {packed.name}, got neither.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"Expected a readable {file.name}, got {type(error).__name__}: {error}.") from error
    start = 4 + 4 * rank
    sizes = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if content[:4] != bytes((0, 0, 8, rank)) or len(content) != start + math.prod(sizes):
        raise DataError(f"Expected {file.name} to be a whole IDX file of uint8 with {rank} dimensions, it is not.")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(sizes)


_CIFAR10 = _Known("cifar10", "CIFAR-10", "CIFAR10", "cifar-10-batches-py", _read_cifar, 10, (32, 32, 3))
_CIFAR100 = _Known("cifar100", "CIFAR-100", "CIFAR100", "cifar-100-python", _read_cifar, 100, (32, 32, 3))
_MNIST = _Known("mnist", "MNIST", "MNIST", "MNIST/raw", _read_mnist, 10, (28, 28, 1))
_FASHION_MNIST = _Known(
    "fashion_mnist", "Fashion-MNIST", "FashionMNIST", "FashionMNIST/raw", _read_mnist, 10, (28, 28, 1)
)
