"""A data set as its makers split it, before we split it further."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dsrna.data.images import ImageDataset

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of every channel, of pixels in [0, 1]."""


@dataclass(frozen=True)
class Source:
    """The official training and test parts of a data set.

    Attributes:
        name: short name, e.g. ``"cifar10"``.
        origin: one phrase for tables, saying which images these are and where they came from.
        train: official training part.
        test: official test part, with the same image shape and classes.
        statistics: published mean and standard deviation, where computing them would mean decoding everything;
            None: computed from the training split.
        validation: a validation part of the data set's own, with the same image shape and classes; None: validation
            images are taken from the training part.
        class_names: a name for each class, by label; None: they have numbers alone.
    """

    name: str
    origin: str
    train: ImageDataset
    test: ImageDataset
    statistics: Statistics | None = None
    validation: ImageDataset | None = None
    class_names: tuple[str, ...] | None = None


def root_folder(root: str | None) -> Path:
    """``root`` as a path, or :func:`default_root` for None."""
    return default_root() if root is None else Path(root).expanduser()


def default_root() -> Path:
    """Where data sets are looked for: ``$DSRNA_DATA``, else ``./data``."""
    return Path(os.environ.get("DSRNA_DATA") or "data").expanduser()
