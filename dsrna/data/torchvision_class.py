"""Any data set of torchvision whose images are small enough to be one array, by the name of its class."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np

from dsrna.data.arrays import Arrays, to_source
from dsrna.data.source import Source, root_folder
from dsrna.data.torchvision_sets import refusing_failures
from dsrna.errors import DataError


def load_torchvision(dataset: str, root: str | None = None, download: bool = True) -> Source:
    """The training and test parts of ``torchvision.datasets.DATASET``, e.g. ``SVHN``, ``KMNIST`` or ``USPS``.

    Its files are those of torchvision, with torchvision's checksums, below ``root/DATASET``.

    Args:
        dataset: name of the class. It takes ``split`` or ``train``, and has ``data`` and ``labels`` or ``targets``.
        root: the data root; None: ``$DSRNA_DATA``, else ``./data``.
        download: whether to download what is not there.

    Raises:
        DataError: there is no such class, its files are missing or damaged, or it holds something else.
    """
    from torchvision import datasets

    made = getattr(datasets, dataset, None)
    if not inspect.isclass(made):
        raise DataError(f"Expected the name of a class of torchvision.datasets, got {dataset!r}. (conf: dataset)")
    folder = root_folder(root).absolute() / dataset
    arrays = Arrays(*_part(made, folder, "train", download), *_part(made, folder, "test", download))
    classes = len(np.unique(arrays.y_train))
    return to_source(arrays, dataset.lower(), f"{dataset}, official files", folder, classes)


def _part(made: Any, folder: Path, part: str, download: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images (M, H, W) or (M, H, W, C), and labels (M,)."""
    takes = inspect.signature(made).parameters
    chosen: dict[str, Any] = {"split": part} if "split" in takes else {"train": part == "train"}
    with refusing_failures(f"{made.__name__} in {folder}"):
        found = made(folder, **chosen, download=download)
    labels = getattr(found, "labels", getattr(found, "targets", None))
    if not hasattr(found, "data") or labels is None:
        raise DataError(f"Expected `data` and `labels` or `targets` of {made.__name__}, found others. (conf: dataset)")
    images = np.asarray(found.data)
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        images = images.transpose(0, 2, 3, 1)  # some keep channels first
    return images, np.asarray(labels)
