"""Where images and tables come from, for every command alike."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from dsrna.config.parts import build_part, target_of
from dsrna.config.settings import DataSettings, Settings
from dsrna.data.averaged import averaged
from dsrna.data.source import Source, root_folder
from dsrna.data.splits import Splits, split
from dsrna.errors import DataError


def load_splits(settings: Settings) -> Splits:
    """The data that the settings name, within the trainer's limits.

    Raises:
        DataError: it is missing, unreadable, or too small to be split.
    """
    limit = _smallest(settings.data.test_limit, settings.trainer.limits.test_images)
    return splits_of(settings.data, settings.seed, limit)


def splits_of(data: DataSettings, seed: int, test_limit: int | None) -> Splits:
    """The data that the settings name, with at most ``test_limit`` test images.

    Raises:
        DataError: it is missing, unreadable, or too small to be split.
        ConfigError: its images can't be averaged to ``data.pixels``.
    """
    given = {"root": data.root, "download": data.download}
    taken = inspect.signature(target_of(data.source, "data.source")).parameters
    injected: dict[str, Any] = {name: value for name, value in given.items() if name in taken and value is not None}
    source: Source = build_part(data.source, "data.source", **injected)
    if source.test.shape != source.train.shape or source.test.classes != source.train.classes:
        raise DataError(f"Test images are {source.test.shape}, training images {source.train.shape}. (conf: data)")
    return split(averaged(source, data.pixels), data.validation_fraction, seed, data.train_limit, test_limit)


def tables_folder(given: str | None, data_root: str | None) -> tuple[Path, str]:
    """The folder with the tables, and the setting that names it.

    Args:
        given: ``benchmark.root``, a folder for the tables alone; None: they lie in the data root.
        data_root: ``data.root``; None: ``$DSRNA_DATA``, else ``./data``.
    """
    return (root_folder(data_root), "data.root") if given is None else (root_folder(given), "benchmark.root")


def _smallest(value: int | None, limit: int | None) -> int | None:
    """The smaller of two, where None is no limit."""
    return min((v for v in (value, limit) if v is not None), default=None)
