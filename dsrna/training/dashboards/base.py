"""What a dashboard is: a part of the config that is opened for a run, and what the stages tell it then."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # importing it takes a second, and settings are checked without it
    from pytorch_lightning.loggers.logger import Logger

FileKind = Literal["genotype", "model", "report"]


@dataclass(frozen=True)
class About:
    """The run that a dashboard is opened for.

    Attributes:
        folder: the run folder; local files of the dashboard go under it.
        name: the run's name.
        config: the resolved config, shown beside the curves.
        fingerprint: of the run; with the folder's name it says which run a resumed run continues.
        stages: what the run does.
        in_sweep: whether it is a job of a multirun.
    """

    folder: Path
    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    stages: Sequence[str] = ()
    in_sweep: bool = False

    @property
    def identity(self) -> str:
        """The same for a run and its continuation, another one for every other run.

        A job of a multirun lies in a folder that is only called 0, 1, …: the sweep's folder tells sweeps apart.
        """
        folder = self.folder.resolve()
        identity = f"{self.fingerprint} {folder.parent.name} {folder.name}"
        return hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()


class OpenDashboard:
    """A dashboard that is told of one run. This one passes numbers to a logger of Lightning's and leaves out the rest.

    Args:
        logger: for Trainers.
    """

    def __init__(self, logger: Logger) -> None:
        self.logger = logger

    def log_pictures(self, pictures: Sequence[Path]) -> None:
        """Shows PNG files, each under its own name."""

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Shows rows of equal keys as a table."""

    def log_summary(self, numbers: Mapping[str, float]) -> None:
        """Notes the run's final numbers."""
        self.logger.log_metrics(dict(numbers), 0)

    def log_file(self, kind: FileKind, path: Path) -> None:
        """Keeps a file that came out of the run."""

    def log_source(self, kind: FileKind, path: Path) -> None:
        """Notes that the run started from a file."""

    def close(self, failed: bool) -> None:
        """Ends the dashboard's run and marks whether it failed."""
        self.logger.finalize("failed" if failed else "success")


class Dashboard(ABC):
    """A part below ``logger`` in the config."""

    @abstractmethod
    def open(self, about: About) -> OpenDashboard:
        """Opens it for a run.

        Raises:
            ConfigError: it can't be opened as its settings say.
            MissingPartError: its package isn't installed.
        """


class Dashboards:
    """All dashboards of a run, opened once and always closed, also when a stage fails.

    Args:
        parts: what ``logger`` names.
        about: the run.
    """

    def __init__(self, parts: Sequence[Dashboard] = (), about: About | None = None) -> None:
        self._open: list[OpenDashboard] = []
        try:
            for part in parts:
                assert about is not None
                self._open.append(part.open(about))
        except BaseException:
            self.close(failed=True)
            raise

    @property
    def loggers(self) -> list[Logger]:
        """Loggers for a Trainer."""
        return [dashboard.logger for dashboard in self._open]

    def log_pictures(self, pictures: Sequence[Path]) -> None:
        """See :class:`OpenDashboard`, as the others."""
        self._tell(lambda dashboard: dashboard.log_pictures(pictures))

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            self._tell(lambda dashboard: dashboard.log_table(name, rows))

    def log_summary(self, numbers: Mapping[str, float]) -> None:
        self._tell(lambda dashboard: dashboard.log_summary(numbers))

    def log_file(self, kind: FileKind, path: Path) -> None:
        self._tell(lambda dashboard: dashboard.log_file(kind, path))

    def log_source(self, kind: FileKind, path: Path) -> None:
        self._tell(lambda dashboard: dashboard.log_source(kind, path))

    def close(self, failed: bool) -> None:
        """Ends them all."""
        try:
            self._tell(lambda dashboard: dashboard.close(failed))
        finally:
            self._open = []

    def _tell(self, tell: Callable[[OpenDashboard], None]) -> None:
        for dashboard in self._open:
            tell(dashboard)
